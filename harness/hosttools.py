"""Programs the host must have: read from `packages.txt`, installed by apt if they are missing.

Runs before any environment exists: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from base.errors import InfraError
from harness.environment import Say, cache_folder

# Debian's python3 comes without it; the module cannot be told from the command `python3`.
VENV = ("python3 -m venv", "python3-venv", "makes the test bed's own Python environment")
# For the tests of the status page; nothing else needs it, and it is large.
BROWSER = ("chromium", "chromium", "opens the status page in the integration ring")
# Compilers only recommend the C library they link with, and recommendations are not installed.
LIBRARIES = (
    ("/usr/include/stdlib.h", "libc6-dev", "C library of the programs that run while a build runs"),
    ("/usr/powerpc64-linux-gnu/lib/libc.a", "libc6-dev-ppc64-cross", "C library of dom0's and domU's programs"),
)
LOCK_WAIT = 600  # seconds that apt waits for another apt to finish


class Tool(NamedTuple):
    """A program (or, with a path for its name, a file), the Debian package it comes in, and what it is for."""

    command: str
    package: str
    reason: str

    def present(self) -> bool:
        """Return whether the program can be started here, or the file is there."""
        if self.command.startswith("/"):
            return Path(self.command).exists()
        if self.package == VENV[1]:
            return importlib.util.find_spec("ensurepip") is not None
        return shutil.which(self.command, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is not None


def read_packages(path: Path) -> list[Tool]:
    """Read `packages.txt`: `command package reason` on each line. Raises InfraError for a line that is not so."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InfraError(f"cannot read {path}: {error.strerror}", hint="is the checkout whole? `git status`") from error
    tools: list[Tool] = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        words = content.split(None, 2)
        if len(words) != 3:
            raise InfraError("a line is: command package reason", where=f"{path}:{number}")
        tools.append(Tool(*words))
    return tools


def needed(checkout: str | Path) -> list[Tool]:
    """Return all that this checkout needs of the host, Python's venv module first. Raises InfraError."""
    libraries = [Tool(*library) for library in LIBRARIES]
    return [Tool(*VENV), *read_packages(Path(checkout) / "packages.txt"), *libraries]


def apt_get() -> list[str] | None:
    """Return how to call apt-get with the right to install, through sudo if need be; None if there is no way."""
    if shutil.which("apt-get") is None:
        return None
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_WAIT}"]
    if os.geteuid() == 0:
        return command
    return ["sudo", *command] if shutil.which("sudo") else None


def ensure(checkout: str | Path, *, install: bool, say: Say, tools: Sequence[Tool] | None = None) -> None:
    """Install the packages of the programs that are missing (default: of all that are needed).

    Raises InfraError if one is missing and must not, or cannot, be installed.
    """
    missing = [tool for tool in (needed(checkout) if tools is None else tools) if not tool.present()]
    if not missing:
        return
    packages = sorted({tool.package for tool in missing})
    say("missing on this machine:")
    for tool in missing:
        say(f"  {tool.command:<38}{tool.package:<32}{tool.reason}")
    arguments = ["install", "-y", "--no-install-recommends", *packages]
    by_hand = shlex.join(["apt-get", *arguments])
    if not install:
        raise InfraError("Debian packages are missing, and --no-install forbids installing them", hint=by_hand)
    apt = apt_get()
    if apt is None:
        why = "neither root nor sudo" if shutil.which("apt-get") else "no apt-get: this is not Debian"
        raise InfraError(f"cannot install Debian packages here ({why})", hint=f"as root: {by_hand}")
    say(f"installing {len(packages)} Debian packages (a minute or two)...")
    log = log_file("apt.log")
    with log.open("wb") as stream:
        if _run([*apt, "update"], stream) != 0:
            say(f"  apt-get update failed (see {log}); trying with the lists that are here")
        code = _run([*apt, *arguments], stream)
    still = [tool.command for tool in missing if not tool.present()]
    if code != 0 or still:
        what = f"apt-get ended with exit code {code}" if code else f"still missing: {', '.join(still)}"
        raise InfraError(
            f"could not install the Debian packages: {what}\n{tail(log)}",
            where=str(log),
            hint=f"mend what the lines above say, then try again; or as root: {by_hand}",
        )


def log_file(name: str) -> Path:
    """Return the path of a log in the cache, in a folder that exists. Raises InfraError."""
    folder = Path(cache_folder()) / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfraError(
            f"cannot write to {folder}: {error.strerror}", hint="set TESTBED_CACHE to a folder of yours"
        ) from error
    return folder / name


def tail(path: Path, lines: int = 12) -> str:
    """Return the last lines of a log, set in for display."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])


def _run(command: Sequence[str], log: BinaryIO) -> int:
    os.write(log.fileno(), f"$ {shlex.join(command)}\n".encode())
    return subprocess.run(command, stdout=log, stderr=log, check=False).returncode
