"""Load on domUs, the CPUs that they are bound to, and the CPU time that the hypervisor counts for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from harness.cell import Cell

# Ticks in a second, the unit of CPU times below /proc (proc(5): USER_HZ).
TICKS = 100


async def start_loops(cell: Cell, names: Iterable[str], seconds: float) -> dict[str, str]:
    """Let some domUs be busy without end; returns the process of each. Raises as `Cell.must`.

    What is asked of a domain while CPUs of its machine are busy may take long, so all are asked at once.
    """
    wanted = list(names)
    loop = "sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 & echo $!"
    started = await asyncio.gather(*(cell.must(name, loop, seconds) for name in wanted))
    return dict(zip(wanted, started, strict=True))


async def end_loops(cell: Cell, loops: dict[str, str], seconds: float) -> None:
    """End what `start_loops` started. Raises as `Cell.must`, also when one has ended before."""
    await asyncio.gather(*(cell.must(name, f"kill {loop}", seconds) for name, loop in loops.items()))


async def bind(cell: Cell, name: str, cpu: int, seconds: float) -> None:
    """Bind all vCPUs of a domU to one CPU of its hypervisor's. Raises StepFailed, and as `Cell.control`."""
    await cell.control(name, f"{name} is bound to CPU {cpu}", cell.toolstack.pin(cell.domain(name), cpu), seconds)


async def cpu_times(cell: Cell, name: str, seconds: float) -> Sequence[int]:
    """Return the ticks that each vCPU of a domU has run, by the hypervisor's account. Raises as `bind`."""
    what = f"the toolstack tells the times of {name}'s vCPUs"
    return await cell.control(name, what, cell.toolstack.cpu_times(cell.domain(name)), seconds)
