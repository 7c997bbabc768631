"""Deadlines counted in work done, so that a busy host turns nothing red."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import DeadlineExpired, HostStarved, NoOutput

# However short a deadline is, so long (s) a guest may sleep, and the clock may run: the harness itself
# and the host's disk have a part in every answer.
LEAST_IDLE = 10.0
LEAST_WALL = 60.0
# A thread that sleeps uses less than this (s) of CPU time: something may stir it now and then.
STIRS = 0.05
# The host may give the machine this fraction (one in N) of a CPU before nothing can be judged.
WALL_SHARE = 8.0


@dataclass(frozen=True)
class Budget:
    """How long something may take, in seconds.

    `work`: CPU time that the vCPU threads use. `idle`: time in which they neither run nor wait for a
    CPU of the host, that is, the guest itself sleeps. `wall`: a cap on the time of day; past it, with the
    other two unspent, it was the host that had no time (`HostStarved`). `silence`: work, or idle time, in
    which a console that ought to speak prints nothing; output never makes the other limits longer.
    """

    work: float
    idle: float
    wall: float
    silence: float = math.inf

    @classmethod
    def of(cls, seconds: float, *, factor: float = 1.0, silence: float = math.inf) -> Budget:
        """Make the usual budget for what takes at most `seconds` of a calm host of speed factor 1."""
        scaled = seconds * factor
        return cls(
            work=scaled,
            idle=max(scaled, LEAST_IDLE),
            wall=max(scaled * WALL_SHARE, LEAST_WALL),
            silence=silence * factor,
        )


@dataclass(frozen=True)
class Usage:
    """What the vCPU threads did, in seconds: `ran` on a CPU, `starved` waiting for one."""

    ran: float
    starved: float

    def since(self, before: Usage) -> Usage:
        """Return what came after an earlier account."""
        return Usage(self.ran - before.ran, self.starved - before.starved)


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
    """Watches one wait. `check` raises when the budget is spent.

    `heard` returns how many bytes the console that ought to speak has printed so far.
    """

    def __init__(
        self,
        what: str,
        budget: Budget,
        pid: int,
        threads: Sequence[int],
        heard: Callable[[], int] | None = None,
    ) -> None:
        self._what = what
        self._budget = budget
        self._pid = pid
        self._threads = threads
        self._heard = heard
        self._bytes = heard() if heard else 0
        self._spoke = (0.0, 0.0)  # work and idle time when the last output was noticed
        self._began = time.monotonic()
        self._before = read_usage(pid, threads)

    def spent(self) -> tuple[float, float, float]:
        """Return work, idle and wall time since the wait began, in seconds."""
        used = read_usage(self._pid, self._threads).since(self._before)
        wall = time.monotonic() - self._began
        # With several vCPU threads the guest sleeps only while all of them do.
        return used.ran, max(0.0, wall - used.ran - used.starved), wall

    def check(self) -> None:
        """Raise DeadlineExpired, NoOutput or HostStarved when a limit is passed."""
        work, idle, wall = self.spent()
        account = f"{work:.1f} s of CPU used, {idle:.1f} s idle, {wall:.1f} s on the clock"
        if work > self._budget.work or idle > self._budget.idle:
            raise DeadlineExpired(self._what, account)
        self._check_silence(work, idle, account)
        if wall > self._budget.wall:
            raise HostStarved(
                f"{self._what}: the host is too busy to tell ({account})",
                hint=HostStarved.ADVICE,
            )

    def _check_silence(self, work: float, idle: float, account: str) -> None:
        if self._heard is None:
            return
        if (count := self._heard()) != self._bytes:
            self._bytes, self._spoke = count, (work, idle)
        quiet_work, quiet_idle = work - self._spoke[0], idle - self._spoke[1]
        if quiet_work > self._budget.silence or quiet_idle > max(self._budget.silence, LEAST_IDLE):
            raise NoOutput(
                self._what, f"{quiet_work:.1f} s of CPU used and {quiet_idle:.1f} s idle without a word; {account}"
            )
