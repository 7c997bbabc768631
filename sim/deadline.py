"""Deadlines counted in work done, so that a busy host turns nothing red."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import DeadlineExpired, HostStarved

# However short a deadline is, so long (s) a guest may sleep, and the clock may run: the harness itself
# and the host's disk have a part in every answer.
LEAST_IDLE = 10.0
LEAST_WALL = 60.0
# The host may give the machine this fraction (one in N) of a CPU before nothing can be judged.
WALL_SHARE = 8.0


@dataclass(frozen=True)
class Budget:
    """How long something may take, in seconds.

    `work`: CPU time that the vCPU threads use. `idle`: time in which they neither run nor wait for a
    CPU of the host, that is, the guest itself sleeps. `wall`: a cap on the time of day; past it, with the
    other two unspent, it was the host that had no time (`HostStarved`).
    """

    work: float
    idle: float
    wall: float

    @classmethod
    def of(cls, seconds: float, *, factor: float = 1.0) -> Budget:
        """Make the usual budget for what takes at most `seconds` of a calm host of speed factor 1."""
        scaled = seconds * factor
        return cls(work=scaled, idle=max(scaled, LEAST_IDLE), wall=max(scaled * WALL_SHARE, LEAST_WALL))


@dataclass(frozen=True)
class Usage:
    """What the vCPU threads did, in seconds: `ran` on a CPU, `starved` waiting for one."""

    ran: float
    starved: float


def read_usage(pid: int, threads: Sequence[int]) -> Usage:
    """Sum up the scheduler's account of the threads (`/proc/PID/task/TID/schedstat`, nanoseconds)."""
    ran = starved = 0
    for thread in threads:
        try:
            fields = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
        except OSError:  # the thread has ended: QEMU's exit is noticed elsewhere
            continue
        ran += int(fields[0])
        starved += int(fields[1])
    return Usage(ran / 1e9, starved / 1e9)


class Meter:
    """Watches one wait. `check` raises when the budget is spent."""

    def __init__(self, what: str, budget: Budget, pid: int, threads: Sequence[int]) -> None:
        self._what = what
        self._budget = budget
        self._pid = pid
        self._threads = threads
        self._began = time.monotonic()
        self._before = read_usage(pid, threads)

    def spent(self) -> tuple[float, float, float]:
        """Return work, idle and wall time since the wait began, in seconds."""
        now = read_usage(self._pid, self._threads)
        wall = time.monotonic() - self._began
        work = now.ran - self._before.ran
        starved = now.starved - self._before.starved
        # With several vCPU threads the guest sleeps only while all of them do.
        return work, max(0.0, wall - work - starved), wall

    def check(self) -> None:
        """Raise DeadlineExpired, or HostStarved, when a limit is passed."""
        work, idle, wall = self.spent()
        account = f"{work:.1f} s of CPU used, {idle:.1f} s idle, {wall:.1f} s on the clock"
        if work > self._budget.work or idle > self._budget.idle:
            raise DeadlineExpired(self._what, account)
        if wall > self._budget.wall:
            raise HostStarved(
                f"{self._what}: the host is too busy to tell ({account})",
                hint="run again with less beside it, or with fewer workers (-n)",
            )
