"""`clones`: the memory of many machines at once, as clones of one template and as machines that booted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from bench.cells import make_template, spec_of
from bench.context import Context
from bench.machines import answering
from bench.model import Measure, ratio
from bench.usage import memory_share
from harness.runspec import RunSpec

PLATFORM, COUNT, ASKED = "g5", 8, 0.40


def clones(context: Context) -> None:
    """Measure eight clones, then eight cold starts, all answering."""
    warm, cold = (spec_of("bench-dom0", PLATFORM, cold=cold) for cold in (False, True))
    with context.place("clones") as folder:
        make_template(warm, folder, "dom0")
        context.tell(f"{COUNT} clones of {PLATFORM}")
        shared = asyncio.run(_memory(warm, folder / "warm"))
        context.tell(f"{COUNT} cold starts of {PLATFORM}")
        own = asyncio.run(_memory(cold, folder / "cold"))
    context.add(
        Measure(
            bench="clones",
            what=f"{PLATFORM}: memory of {COUNT} clones / of {COUNT} cold starts",
            got=ratio([sum(shared)], [sum(own)]),
            asked=ASKED,
            note=f"{sum(shared) >> 20} MiB / {sum(own) >> 20} MiB (PSS)",
            samples={"warm.MiB": [share >> 20 for share in shared], "cold.MiB": [share >> 20 for share in own]},
        )
    )


async def _memory(spec: RunSpec, folder: Path) -> list[int]:
    """Start machines at the same time and return the memory of each, in bytes, when all of them have answered."""
    async with AsyncExitStack() as stack:
        starts = [answering(spec, folder / str(number)) for number in range(COUNT)]
        cells = await asyncio.gather(*(stack.enter_async_context(start) for start in starts))
        return [memory_share(cell.machine.process.pid) for cell in cells]
