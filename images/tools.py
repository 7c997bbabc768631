"""The host's programs that recipes use: are they there, and which versions are they?"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from base.files import atomic_write, sha256_file
from base.paths import PROJECT
from images.errors import ToolError

PACKAGES = PROJECT / "packages.txt"
MESON = "meson"


def packages(path: Path = PACKAGES) -> dict[str, str]:
    """Return which Debian package brings which command, from `packages.txt`. Raises OSError."""
    lines = (line.partition("#")[0].split() for line in path.read_text().splitlines())
    return {words[0]: words[1] for words in lines if len(words) >= 2}


class Tools:
    """Versions of programs, remembered in `memory` for as long as a program's file stays the same."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        try:
            self._known: dict[str, list[str]] = json.loads(memory.read_text())
        except (OSError, ValueError):
            self._known = {}

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return those that are not on this host."""
        return [name for name in names if _locate(name) is None]

    def require(self, names: Iterable[str], recipe: str) -> None:
        """Raise ToolError, naming the Debian packages, when some are not on this host."""
        if absent := self.missing(names):
            brings = packages()
            wanted = " ".join(dict.fromkeys(brings.get(name, name) for name in absent))
            raise ToolError(
                f"image '{recipe}' needs {', '.join(absent)}, not found on this host",
                hint=f"apt-get install {wanted} (`testbed` does it by itself)",
            )

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """Return the version of each program; one that is absent has "absent"."""
        before = dict(self._known)
        found = {name: self._version(name) for name in names}
        if self._known != before:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._memory, json.dumps(self._known, indent=1))
        return found

    def _version(self, name: str) -> str:
        path = _locate(name)
        if path is None:
            return "absent"
        stamp = _stamp(path)
        known = self._known.get(name)
        if known and known[0] == stamp and (len(known) < 4 or known[3] == _stamp(Path(known[2]))):
            return known[1]
        command = [str(path), "--version"]
        if name == MESON:
            command = [sys.executable, "-m", "mesonbuild.mesonmain", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        text = (done.stdout or done.stderr).strip() or "unknown"
        record = [stamp, text.splitlines()[0]]
        if name.endswith("-linux-gnu-gcc") and (library := _static_libc(path)):
            # Static programs hold the cross C library: it is an input, though the host brings it.
            record[1] += f"; libc.a {sha256_file(library)}"
            record += [str(library), _stamp(library)]
        self._known[name] = record
        return record[1]


def _locate(name: str) -> Path | None:
    if name == MESON:
        spec = importlib.util.find_spec("mesonbuild")
        return Path(spec.origin).with_name("coredata.py") if spec and spec.origin else None
    found = shutil.which(name)
    return Path(found) if found else None


def _static_libc(compiler: Path) -> Path | None:
    done = subprocess.run([str(compiler), "-print-file-name=libc.a"], capture_output=True, text=True, check=False)
    path = Path(done.stdout.strip())
    return path if path.is_absolute() and path.is_file() else None


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "gone"
    return f"{path} {status.st_mtime_ns} {status.st_size}"
