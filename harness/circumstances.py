"""What a result depends on beside its run-spec: the test bed itself, and the host."""

from __future__ import annotations

import hashlib
import platform
import re
from functools import cache
from pathlib import Path

from base.paths import PROJECT

# Whose code drives a machine and judges it; commands and displays do not.
DRIVERS = ("base", "sim", "harness")
_IDLE = "harness/commands/"
_MODEL = re.compile(r"^(?:model name|Model|cpu)\s*:\s*(.+)$", re.MULTILINE)


@cache
def circumstances() -> dict[str, str]:
    """Return facts by name: digest of the test bed's code, machine and CPU model of the host. Raises OSError."""
    return {"testbed.code": code_digest(), "host.machine": platform.machine(), "host.cpu": _cpu()}


def code_digest(project: Path = PROJECT) -> str:
    """Return the SHA-256 of the code that drives machines, of names and contents. Raises OSError."""
    found = hashlib.sha256()
    for path in sorted(file for folder in DRIVERS for file in (project / folder).rglob("*.py")):
        name = path.relative_to(project).as_posix()
        if not name.startswith(_IDLE):
            found.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _cpu() -> str:
    """Return the CPU's model as Linux tells it, "" if it does not."""
    found = _MODEL.search(Path("/proc/cpuinfo").read_text(errors="replace"))
    return " ".join(found[1].split()) if found else ""
