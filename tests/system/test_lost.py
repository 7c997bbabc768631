"""A CPU that QEMU has put to sleep by mistake is woken, and goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from bench.machines import answering
from harness.attached import attached
from harness.runspec import RunSpec
from sim.deadline import Budget, Meter
from sim.lost import MSR_EE, lost_cpus

# A CPU that sleeps in H_CEDE, as if QEMU had delivered the decrementer's interrupt to it (docs/findings.md).
LOSE = ("$srr0 = $pc", "$srr1 = $msr", "$pc = 0x900", "$msr = 0x8000000000000000")


def test_it_is_woken_within_a_wait(spec_for: Callable[..., RunSpec], tmp_path: Path) -> None:
    steps = "debugger: true\nprepare: [boot-dom0]\nsteps: [{answers: dom0}]\n"
    spec = spec_for(steps, "pseries-970", templates="none")

    async def scene() -> None:
        async with answering(spec, tmp_path / "cell") as cell:
            machine = cell.machine
            meter = Meter("dom0 sleeps", Budget.of(60), machine.process.pid, machine.vcpu_threads)
            while not meter.slept(0.5):
                meter.check()
                await asyncio.sleep(0.05)
            async with attached(cell, "dom0") as (gdb, _):
                assert (await gdb.registers())["msr"] & MSR_EE, "dom0 did not sleep: this tests nothing"
                for value in LOSE:
                    await gdb.command(f'-interpreter-exec console "set var {value}"')
            assert [lost.cpu for lost in await lost_cpus(machine.qmp, machine.process.pid, machine.vcpu_threads)] == [0]
            answer = machine.command.run("sleep 1; cat /proc/interrupts; echo well")
            assert (await machine.wait("an answer", answer, Budget.of(60))).output.endswith("well\n")
            assert machine.woken == 1

    asyncio.run(scene())
