"""What this host can carry, and what a cell takes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.pool import Need, Pool

if TYPE_CHECKING:
    from harness.plan import PlannedCell

# MiB besides the machines' own memory: QEMU with its translation cache, and the worker's Python.
OVERHEAD = 250
# MiB that are left to everybody else on the host.
SPARE = 512
# Seconds that a cell is taken to need before it ever passed here: a dom0, and more for each domU.
GUESS, GUESS_DOMU = 15.0, 30.0


def cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processors this process may use: its affinity, and what a container's quota allows (cgroup 2)."""
    mine = len(os.sched_getaffinity(0))
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return max(1, min(mine, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or no limit ("max")
        return mine


def available_memory() -> int:
    """Return the MiB that new processes can have without swapping (MemAvailable, proc(5))."""
    import psutil  # noqa: PLC0415  (lazy: `--help` stays quick)

    return int(psutil.virtual_memory().available) >> 20


def make_pool(cells: int | None = None) -> Pool:
    """Return the pool of this host; at most so many `cells` of one vCPU run at once (None: one per processor).

    Not more than one: the vCPU of a cell was busy for 86 to 97 % of the time that it could be (four scenarios on g5,
    two of three on pseries-970, 62 % in the third), so another cell on two processors could win little, for half as
    much memory again.
    """
    memory = max(1, available_memory() - SPARE)
    return Pool(cells or cores(), memory, available=lambda: available_memory() - SPARE)


def need(cell: PlannedCell, known: float | None = None) -> Need:
    """Return what a cell takes. `known` is its cost, if it ever ran."""
    scenario = cell.scenario
    wanted = scenario.machine
    hosts = len(scenario.hosts)
    memory = max(wanted.memory, cell.platform.memory) + OVERHEAD
    seconds = GUESS * hosts + GUESS_DOMU * len(scenario.domus) if known is None else known
    # The machines of one scenario take turns: two dom0s and what moved between them took 1.2 processors.
    return Need(cell.platform.load(wanted.cpus or cell.platform.cpus), memory * hosts, seconds)
