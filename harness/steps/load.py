"""Load on domUs, the CPUs of dom0 they are bound to, and the CPU time that dom0's kernel counts for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from harness.cell import Cell
from harness.verbs import StepFailed

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
    """Bind all vCPUs of a domU to one CPU of its dom0. Raises as `Cell.must`."""
    threads = " ".join(str(thread) for thread in await cell.vcpu_threads(name, seconds))
    script = f"for thread in {threads}; do taskset -p -c {cpu} $thread || exit 1; done"
    await cell.must(cell.domain(name).host.name, script, seconds)


async def cpu_times(cell: Cell, name: str, seconds: float) -> list[int]:
    """Return the ticks that each vCPU thread of a domU has run, by dom0's account. Raises StepFailed."""
    threads = await cell.vcpu_threads(name, seconds)
    # Below /proc/TID, the kernel would sum up all threads of the process.
    files = " ".join(f"/proc/*/task/{thread}/stat" for thread in threads)
    host = cell.domain(name).host.name
    output = await cell.must(host, f"cat {files} | sed 's/.*) //' | cut -d' ' -f12,13", seconds)
    lines = output.splitlines()
    if len(lines) != len(threads):
        raise StepFailed(f"{host} has no account of {name}'s vCPUs: {output}")
    return [sum(int(field) for field in line.split()) for line in lines]
