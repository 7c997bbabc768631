"""mac99's interrupt controller: a kernel that cannot reach it is no verdict on it, and QEMU need not make it so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.machines import answering
from harness.live.api import Simulator
from harness.runspec import RunSpec
from sim.deadline import Budget
from sim.errors import ControllerHidden

# What Linux does to mac-io for a moment when it finds it: bits 0 and 1 of a PCI device's command register.
HIDE = r"printf '\0\0' | dd of=/sys/bus/pci/devices/0000:f0:0c.0/config bs=1 seek=4 conv=notrunc"
# By label and description in /proc/interrupts: the PMU's line to the controller.
GPIO = "GPIO1"


def test_a_machine_that_cannot_end_its_interrupts_is_the_simulators_trouble(
    spec_for: Callable[..., RunSpec], tmp_path: Path
) -> None:
    spec = spec_for("prepare: [boot-dom0]\nsteps: [{answers: dom0}]\n", "g5", templates="none")

    async def scene() -> None:
        async with answering(spec, tmp_path / "cell") as cell:
            work = cell.machine.command.run(HIDE)
            with pytest.raises(ControllerHidden, match="hidden the device"):
                # It would be busy for ever.
                await cell.machine.wait("dom0 hides its controller", work, Budget.of(120))

    asyncio.run(scene())


def test_an_edge_of_the_firmwares_time_is_no_level_of_the_kernels(own_results: None) -> None:
    # QEMU 10.0.13 as it is: 80,000 to 100,000 in each boot but those in which the firmware took less than a second.
    with Simulator.start("g5", qemu="fixed", cold=True) as g5:
        (line,) = [line for line in g5.dom0.must("cat /proc/interrupts").splitlines() if GPIO in line]
        assert int(line.split()[1]) < 1000, line
