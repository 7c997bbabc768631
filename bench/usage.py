"""CPU time and memory of processes, from the kernel's own accounts."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from base import owner
from base.paths import PROJECT

_KIB = 1024


@dataclass(frozen=True)
class Cpu:
    """CPU time so far (user and system, s): of this process, and of its children that ended and were waited for."""

    own: float
    children: float

    @classmethod
    def now(cls) -> Self:
        """Read the accounts (getrusage(2))."""
        return cls(_seconds(resource.RUSAGE_SELF), _seconds(resource.RUSAGE_CHILDREN))

    def since(self, before: Cpu) -> Cpu:
        """Return what was used since."""
        return Cpu(self.own - before.own, self.children - before.children)


def _seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class Ended:
    """A child that ended: its exit code, time on the clock, and CPU time with that of its own children (s)."""

    code: int
    wall: float
    cpu: float


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command of the project to its end, its output in `log`. It dies with us. Raises OSError."""
    with log.open("wb") as stream:
        began = time.monotonic()
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**owner.environment(), "PYTHONPATH": str(PROJECT), **(environment or {})},
        )
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except KeyboardInterrupt:
            # The terminal has told the child as well; it ends in order.
            child.wait()
            raise
        wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Ended(child.returncode, wall, usage.ru_utime + usage.ru_stime)


def memory_share(pid: int) -> int:
    """Return the bytes of memory a process uses, pages that it shares divided among their users (PSS, proc(5)).

    Raises OSError when the process has gone.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _KIB
    raise OSError(f"no Pss in /proc/{pid}/smaps_rollup")


def resident() -> int:
    """Return the bytes of this process that are in memory. Raises OSError."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
