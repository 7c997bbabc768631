"""Real QEMU with its firmware: the machine's joints without a guest."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import images
from harness.dialogue import Exchange, hold
from harness.qemus import image_version
from harness.resolve import qemu_binary
from sim.calibrate import LEAST, MOST, measure
from sim.deadline import Budget
from sim.errors import DeadlineExpired, MachineStopped, NoOutput, QemuCrashed, QemuKilled, QemuRefused
from sim.machine import Machine
from sim.qemu import QemuBinary
from sim.spec import MachineSpec
from sim.virtualised import objection

Make = Callable[[str, str], MachineSpec]
FIRMWARE = Budget.of(60)
PROMPT = r"\d+ > "


@pytest.mark.parametrize(
    ("platform", "firmware"), [("g5", "openbios"), ("pseries-970", "slof"), ("pseries-power9", "slof")]
)
def test_firmware_answers_a_person(platform: str, firmware: str, firmware_spec: Make, tmp_path: Path) -> None:
    """All speak Forth: a sum typed in must come back computed."""
    lines = (Exchange(expect=PROMPT), Exchange(send="decimal 123 457 * .\r"), Exchange(expect=r"56211"))

    async def scene() -> None:
        async with Machine(firmware_spec(platform, firmware), tmp_path) as machine:
            await machine.wait("the firmware answers", hold(machine.console, lines), FIRMWARE)

    asyncio.run(scene())
    assert (tmp_path / "console/dom0.log").stat().st_size > 0


@pytest.mark.parametrize("platform", ["powernv9", "powernv10"])
def test_skiboot_starts_and_resets_a_machine_with_nothing_to_boot(
    platform: str, firmware_spec: Make, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with Machine(firmware_spec(platform, "skiboot"), tmp_path) as machine:
            await machine.wait("skiboot starts", machine.console.expect(r"OPAL \S+ starting"), FIRMWARE)
            await machine.wait("for ever", asyncio.Event().wait(), FIRMWARE)

    with pytest.raises(MachineStopped, match=r"for ever: .* before that \(guest-reset\)"):
        asyncio.run(scene())


def test_a_long_answer_of_qmp_is_read_whole(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> int:
        async with Machine(firmware_spec("pseries-970", "vof"), tmp_path) as machine:
            schema = await machine.qmp.execute("query-qmp-schema")
            return len(json.dumps(schema))

    assert asyncio.run(scene()) > 100_000


def test_a_reset_ends_a_wait_and_says_whence(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(firmware_spec("pseries-970", "slof"), tmp_path) as machine:
            await machine.qmp.execute("system_reset")
            await machine.wait("for ever", asyncio.Event().wait(), FIRMWARE)

    with pytest.raises(MachineStopped, match="host-qmp-system-reset"):
        asyncio.run(scene())


def test_the_autopsy_has_the_registers_of_every_cpu(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        spec = replace(firmware_spec("pseries-970", "slof"), cpus=2)
        async with Machine(spec, tmp_path) as machine:
            await machine.autopsy()

    asyncio.run(scene())
    text = (tmp_path / "autopsy.txt").read_text()
    assert text.count("NIP ") == 2
    assert text.count("GPR00") == 2


def test_a_firmware_that_does_nothing_times_out_with_its_state(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(firmware_spec("pseries-970", "slof"), tmp_path) as machine:
            never = machine.console.expect("never printed")
            try:
                await machine.wait("a miracle", never, Budget(work=1, idle=1, wall=60))
            finally:
                await machine.autopsy()

    with pytest.raises(DeadlineExpired, match="a miracle"):
        asyncio.run(scene())
    assert '"running": true' in (tmp_path / "autopsy.txt").read_text()


def test_qemu_that_refuses_its_arguments(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        spec = replace(firmware_spec("g5", "openbios"), args=("-device", "no-such-device"))
        async with Machine(spec, tmp_path):
            pass

    with pytest.raises(QemuRefused, match="no-such-device"):
        asyncio.run(scene())


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGKILL, QemuKilled), (signal.SIGABRT, QemuCrashed), (signal.SIGTERM, QemuKilled)],
)
def test_whose_fault_the_end_of_qemu_is(
    number: signal.Signals, error: type[Exception], firmware_spec: Make, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with Machine(firmware_spec("g5", "openbios"), tmp_path) as machine:
            os.kill(machine.process.pid, number)
            await machine.wait("for ever", asyncio.Event().wait(), FIRMWARE)

    with pytest.raises(error):
        asyncio.run(scene())


def test_qemu_is_gone_when_the_block_ends(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> int:
        async with Machine(firmware_spec("g5", "openbios"), tmp_path) as machine:
            return machine.process.pid

    assert not psutil.pid_exists(asyncio.run(scene()))


def test_a_machine_with_a_display_has_a_picture_in_its_autopsy(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        spec = replace(firmware_spec("pseries-970", "slof"), args=("-device", "VGA,romfile="))
        async with Machine(spec, tmp_path) as machine:
            await machine.autopsy()

    asyncio.run(scene())
    assert (tmp_path / "screens/end.png").read_bytes().startswith(b"\x89PNG")
    assert "screen: screens/end.png" in (tmp_path / "autopsy.txt").read_text()


def test_the_host_s_speed_is_that_of_a_machine_that_exists(qemu: QemuBinary, tmp_path: Path) -> None:
    """A day-old laptop and a ten-year-old server differ by less: the work is done, and counted in CPU time."""
    assert LEAST < measure(qemu, tmp_path) < MOST


def test_a_pc_s_speed_is_measured_by_a_boot_sector(tmp_path: Path) -> None:
    artifact = images.ensure(["qemu-x86-10.0"])["qemu-x86-10.0"]
    qemu = qemu_binary(artifact, image_version(artifact), "x86_64")
    assert LEAST < measure(qemu, tmp_path, "x86_64") < MOST


def test_a_firmware_that_has_said_its_last_word_hangs(firmware_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(firmware_spec("g5", "openbios"), tmp_path) as machine:
            await machine.wait("the prompt", machine.console.expect(PROMPT), FIRMWARE)
            never = machine.console.expect("never printed")
            await machine.wait("a miracle", never, Budget.of(60, silence=1), speaker=machine.console)

    with pytest.raises(NoOutput, match="a miracle: no output for too long"):
        asyncio.run(scene())


def test_an_accelerator_under_which_nothing_answers_is_told_with_the_last_words(
    firmware_spec: Make, tmp_path: Path
) -> None:
    """OpenBIOS waits at its prompt for ever: no dom0 comes of that."""
    found = asyncio.run(objection(firmware_spec("g5", "openbios"), "tcg", tmp_path, Budget.of(60, silence=2)))
    assert re.fullmatch(r"dom0 boots: no output for too long \(.*\); the last that its console said: '0 >'", found)


def test_an_accelerator_that_the_host_lacks_is_an_objection(firmware_spec: Make, tmp_path: Path) -> None:
    found = asyncio.run(objection(firmware_spec("g5", "openbios"), "kvm", tmp_path))
    assert "kvm" in found.lower()
