"""Result directories are sealed when they are finished: a later change of any file of theirs is found.

The seal is a part of `result.json`, which is written last: size and SHA-256 of every other file, and a digest over
all that and the result itself. It tells damage and editing; it is no signature, whoever forges all of it can.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any

from base.files import sha256_bytes, sha256_file

RESULT = "result.json"
KEY = "seal"


class SealState(StrEnum):
    """Whether a result directory is as it was when it was finished.

    `unsealed`: nobody can tell, for it was never finished (a run that died) or is from before seals were made.
    """

    SEALED = "sealed"
    UNSEALED = "unsealed"
    BROKEN = "broken"


@dataclass(frozen=True)
class SealCheck:
    """What checking a seal found; `faults` are phrases such as `console/dom0.log: changed`."""

    state: SealState
    faults: tuple[str, ...] = ()


def make_seal(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Return the seal of a directory whose files are all written, for a result about to be. Raises OSError."""
    files = {name: _entry(path) for name, path in _files(directory) if name != RESULT}
    return {"files": files, "digest": _digest(result, files)}


def check_seal(directory: Path, raw: bytes) -> SealCheck:
    """Compare a directory with the seal in its `result.json`, of which `raw` is the content, byte by byte.

    Raises OSError when a file cannot be read, ValueError when `raw` is no JSON object.
    """
    result = json.loads(raw)
    if not isinstance(result, dict):
        raise ValueError("not an object")
    seal = result.pop(KEY, None)
    if seal is None:
        return SealCheck(SealState.UNSEALED)
    if not isinstance(seal, dict) or not isinstance(files := seal.get("files"), dict):
        return SealCheck(SealState.BROKEN, (f"{RESULT}: its seal is damaged",))
    faults = [f"{RESULT}: changed"] if seal.get("digest") != _digest(result, files) else []
    actual = dict(_files(directory))
    actual.pop(RESULT, None)
    faults += [f"{name}: missing" for name in files if name not in actual]
    faults += [f"{name}: not there when it was finished" for name in actual if name not in files]
    faults += [f"{name}: changed" for name, path in actual.items() if name in files and _entry(path) != files[name]]
    return SealCheck(SealState.BROKEN if faults else SealState.SEALED, tuple(faults))


def stamp(directory: Path) -> tuple[str, int]:
    """Return a fingerprint of the names, sizes and times of all files, and the newest time (ns since the epoch).

    Equal fingerprints mean that nothing was written, unless within the clock's tick of the newest time. Raises OSError.
    """
    found = blake2b(digest_size=16)
    newest = 0
    for name, entry in _walk(str(directory)):
        status = entry.stat(follow_symlinks=False)
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        told = f"{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n"
        found.update(told.encode(errors="surrogateescape"))
    return found.hexdigest(), newest


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return everything but folders, by name relative to the top. Raises OSError."""
    return [(name, Path(entry.path)) for name, entry in _walk(str(folder))]


def _walk(folder: str, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    # Entries rather than paths: this is asked of every result that is shown.
    with os.scandir(folder) as entries:
        found = sorted(entries, key=attrgetter("name"))
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _entry(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        return {"target": str(path.readlink())}
    if not path.is_file():
        return {"kind": "special"}
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def _digest(result: dict[str, Any], files: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps([result, files], sort_keys=True).encode())
