"""What was found out about this host once, and is kept until something that it depends on is another."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base.files import atomic_write, sha256_bytes
from base.paths import cache_root


class Remembered:
    """One finding about this host: `content` is what was kept of it, None if nothing was or that is damaged."""

    def __init__(self, path: Path, schema: int, depends: Mapping[str, str]) -> None:
        self._path = path
        self._schema = schema
        self._depends = dict(depends)
        self.content = self._read()

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self._path.read_bytes())
            return dict(content) if content["schema"] == self._schema else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, or damaged: it is found out anew

    def keep(self, content: Mapping[str, object]) -> None:
        """Keep what was found, with what it depends on beside it. Raises OSError."""
        record = {"schema": self._schema, **content, **self._depends}
        atomic_write(self._path, json.dumps(record, indent=1) + "\n")


@contextmanager
def remembered(kind: str, schema: int, depends: Mapping[str, str]) -> Iterator[Remembered]:
    """Hold the finding of a kind that depends on `depends` and this host; whoever else asks for it waits meanwhile.

    Raises OSError when the cache cannot be written.
    """
    from filelock import FileLock  # noqa: PLC0415  (lazy: `run` with a wrong name answers at once)

    folder = cache_root() / kind
    folder.mkdir(parents=True, exist_ok=True)
    depends = {"host": platform.node(), "cpu": cpu_model(), **depends}
    path = folder / f"{sha256_bytes(json.dumps(depends, sort_keys=True).encode())[:16]}.json"
    with FileLock(path.with_suffix(".lock")):
        yield Remembered(path, schema, depends)


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU model as the kernel names it ("" where it has no name, as on arm64: then the host's counts)."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu\t"))), "")
