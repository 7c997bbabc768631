"""Which exact Debian files each input stands for: the committed lock, and this host's additions to it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from base.files import atomic_write, sha256_bytes
from base.paths import PROJECT, cache_root
from images.errors import LockFileError
from images.recipe import ClosureInput, DebianInput, PackageInput, PatchedSourceInput

COMMITTED = PROJECT / "images" / "lock.json"
SCHEMA = 1


@dataclass(frozen=True, order=True)
class Pin:
    """One file of a Debian archive: a package, or a part of a source. `filename` is its path on the mirror."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int


Pins = tuple[Pin, ...]


def identity(item: DebianInput) -> str:
    """Return the key of an input in the lock: the same input in two recipes has the same one."""
    if isinstance(item, PackageInput):
        return f"package {item.package} {item.suite}/{item.arch}"
    if isinstance(item, ClosureInput):
        return f"closure {'+'.join(sorted(item.closure))} {item.suite}/{item.arch}"
    if isinstance(item, PatchedSourceInput):
        return f"patched-source {item.patched_source} {item.suite}"
    return f"source {item.source} {item.suite}"


class Lock:
    """The committed lock with the cache's overlay.

    An overlay's entry counts only as long as the committed entry is the one that it replaced, so that a new
    commit always wins over what this host once had to resolve by itself.
    """

    def __init__(self, committed: Path = COMMITTED, overlay: Path | None = None) -> None:
        """Read both files; one that is absent is empty. Raises LockFileError for one that is not a lock."""
        self._overlay_path = overlay or cache_root() / "lock.json"
        self._guard = threading.Lock()
        self.committed = {key: _pins(value) for key, value in _read(committed).items()}
        self._overlay = _read(self._overlay_path)

    def pins(self, key: str) -> Pins | None:
        """Return the files of an input, or None when it has never been resolved."""
        entry = self._overlay.get(key)
        if entry and entry.get("replaces") == self._replaced(key):
            return _pins(entry["pins"])
        return self.committed.get(key)

    def record(self, key: str, pins: Iterable[Pin]) -> None:
        """Write what an input was resolved to into the overlay. Raises OSError."""
        with self._guard:
            # Another process may have added entries since this one began.
            self._overlay = _read(self._overlay_path)
            entry = {"replaces": self._replaced(key), "pins": [asdict(pin) for pin in sorted(pins)]}
            self._overlay[key] = entry
            self._overlay_path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._overlay_path, _text(self._overlay))

    def _replaced(self, key: str) -> str:
        pins = self.committed.get(key)
        return digest(pins) if pins else ""


def write_committed(entries: Mapping[str, Pins], path: Path = COMMITTED) -> None:
    """Write the lock file that is committed. Raises OSError."""
    atomic_write(path, _text({key: [asdict(pin) for pin in sorted(pins)] for key, pins in entries.items()}))


def digest(pins: Pins) -> str:
    """Return one digest for a set of pinned files."""
    return sha256_bytes("\n".join(f"{pin.name} {pin.version} {pin.sha256}" for pin in sorted(pins)).encode())


def changes(old: Pins | None, new: Pins) -> list[str]:
    """Return what changed between two resolutions, one phrase ("zlib1g 1.2 -> 1.3") for each package."""
    before = {pin.name: pin.version for pin in old or ()}
    after = {pin.name: pin.version for pin in new}
    found = [f"{name} {before.get(name, 'new')} -> {version}" for name, version in after.items()]
    found = [text for text, name in zip(found, after, strict=True) if before.get(name) != after[name]]
    return sorted(found + [f"{name} {before[name]} -> gone" for name in before if name not in after])


def _text(entries: Mapping[str, Any]) -> str:
    # One file per line: that is what a reviewer compares.
    text = json.dumps({"schema": SCHEMA, "inputs": dict(sorted(entries.items()))}, indent=1)
    return re.sub(r'\{\s+"name".*?\}', lambda match: " ".join(match[0].split()), text, flags=re.DOTALL) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
        if data["schema"] != SCHEMA:
            raise LockFileError(f"its schema is {data['schema']}, ours is {SCHEMA}", where=str(path))
        inputs: dict[str, Any] = data["inputs"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LockFileError(
            f"not a lock file: {error}", where=str(path), hint="remove it; `testbed images lock` makes a new one"
        ) from error
    return inputs


def _pins(value: Iterable[Mapping[str, Any]]) -> Pins:
    return tuple(Pin(**item) for item in value)
