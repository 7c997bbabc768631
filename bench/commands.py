"""`commands`: what a command costs in dom0 and in a domU, with and without a process of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

from bench.cells import make_template, spec_of
from bench.context import Context
from bench.machines import answering
from bench.model import Measure, rounded
from harness.cell import Cell
from sim.deadline import read_usage

TIMES = 15
# The first ones translate code that the later ones find translated.
WARM_UP = 3
COMMANDS = {"a command of the shell's own": ":", "a command that starts a process": "/bin/busybox true"}
WITHIN = 30.0
DOMU = "u1"


def commands(context: Context) -> None:
    """Run a command again and again in a dom0 and its domU; what QEMU uses for it is told, and the clock's time."""
    for platform in context.platforms:
        spec = spec_of("bench-domu", platform, cold=False)
        with context.place("commands") as folder:
            make_template(spec, folder, DOMU)
            context.tell(platform)
            asyncio.run(_measure(context, platform, folder / "measured"))


async def _measure(context: Context, platform: str, folder: Path) -> None:
    async with answering(spec_of("bench-domu", platform, cold=False), folder) as cell:
        for domain in ("dom0", DOMU):
            for what, command in COMMANDS.items():
                taken = [await _time(cell, domain, command) for _ in range(WARM_UP + TIMES)][WARM_UP:]
                walls, cpus = [wall for wall, _ in taken], [cpu for _, cpu in taken]
                context.add(
                    Measure(
                        bench="commands",
                        what=f"{platform}: {what} in {'dom0' if domain == 'dom0' else 'a domU'}, CPU time of QEMU",
                        got=round(median(cpus), 1),
                        unit="ms",
                        note=f"{median(walls):.0f} ms on the clock",
                        samples={"wall.ms": rounded(walls), "cpu.ms": rounded(cpus)},
                    )
                )


async def _time(cell: Cell, domain: str, command: str) -> tuple[float, float]:
    """Return how long a command took, and the CPU time that QEMU used meanwhile (ms)."""
    before, began = _used(cell), time.monotonic()
    await cell.must(domain, command, WITHIN)
    return (time.monotonic() - began) * 1e3, (_used(cell) - before) * 1e3


def _used(cell: Cell) -> float:
    pid = cell.machine.process.pid
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return read_usage(pid, threads).ran
