"""A CPU that QEMU has put to sleep by mistake is woken, and goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.machines import answering
from harness.attached import attached
from harness.cell import Cell
from harness.runspec import RunSpec
from sim.deadline import Budget, Meter
from sim.lost import MSR_EE
from sim.rsp import PC, StubClient

# A CPU that sleeps in H_CEDE, as if QEMU had delivered the decrementer's interrupt to it (docs/findings.md).
LOSE = ("$srr0 = $pc", "$srr1 = $msr", "$pc = 0x900", "$msr = 0x8000000000000000")
# A dom0 sleeps when its CPUs have neither run nor waited for a processor for so much (s) of so long (s).
IDLE, WINDOW = 0.48, 0.5


async def _asleep(cell: Cell) -> None:
    """Wait until the machine's CPUs sleep."""
    pid, threads = cell.machine.process.pid, cell.machine.vcpu_threads
    idle = 0.0
    async with asyncio.timeout(120):
        while idle < IDLE:
            meter = Meter("dom0 sleeps", Budget.of(60), pid, threads)
            await asyncio.sleep(WINDOW)
            idle = meter.spent()[1]


async def _lose(cell: Cell, cpu: int) -> None:
    """Do to a CPU that sleeps what QEMU does to one that it loses."""
    async with attached(cell, "dom0") as (gdb, _):
        await gdb.command(f"-thread-select {cpu + 1}")
        assert (await gdb.registers())["msr"] & MSR_EE, "dom0 did not sleep: this tests nothing"
        for value in LOSE:
            await gdb.command(f'-interpreter-exec console "set var {value}"')


@pytest.mark.parametrize(
    ("cpus", "lost", "meanwhile"), [(1, 0, "sleep 1"), (2, 1, "for i in $(seq 300000); do :; done")]
)
def test_it_is_woken_whatever_is_waited_for(
    spec_for: Callable[..., RunSpec], tmp_path: Path, cpus: int, lost: int, meanwhile: str
) -> None:
    """The only CPU, so that dom0 answers again; and the second one, while the first keeps their thread busy."""
    steps = f"debugger: true\nmachine: {{cpus: {cpus}}}\nprepare: [boot-dom0]\nsteps: [{{answers: dom0}}]\n"
    spec = spec_for(steps, "pseries-970", templates="none")

    async def scene() -> None:
        async with answering(spec, tmp_path / "cell") as cell:
            machine = cell.machine
            await _asleep(cell)
            await _lose(cell, lost)
            assert machine.woken == 0
            script = f"taskset -c 0 sh -c '{meanwhile}'; cat /proc/interrupts; echo well"
            answer = await machine.wait("an answer", machine.command.run(script), Budget.of(60))
            assert answer.output.endswith("well\n")
            assert machine.woken == 1

    asyncio.run(scene())


@pytest.mark.parametrize("qemu", ["7.2", "10.0", "11.1"])
def test_the_stub_of_each_qemu_lets_a_cpu_be_moved(spec_for: Callable[..., RunSpec], tmp_path: Path, qemu: str) -> None:
    spec = spec_for("prepare: [boot-dom0]\nsteps: [{answers: dom0}]\n", "pseries-970", templates="none", qemu=qemu)

    async def scene() -> None:
        async with answering(spec, tmp_path / "cell") as cell:
            machine = cell.machine

            async def register(name: str) -> int:
                line = f"p/x ${name}"
                return int(str(await machine.qmp.execute("human-monitor-command", command_line=line)), 16)

            with await machine.open_debugger() as stub:
                before = await register("pc")
                async with StubClient(stub.dup()) as client:
                    await client.learn()
                    await client.select(0)
                    await client.write(PC, before ^ 0x40, "big")
                    assert await register("pc") == before ^ 0x40
                    await client.write(PC, before, "big")
                    await client.leave()
            await machine.close_debugger()
            assert (await machine.command.run("echo well")).output == "well\n"

    asyncio.run(scene())
