"""Real QEMU with its firmware, saved and resumed in another process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from base.errors import TestbedError
from harness.dialogue import Exchange, hold
from sim import snapshot
from sim.deadline import Budget
from sim.machine import Machine
from sim.spec import MachineSpec

Make = Callable[[str, str], MachineSpec]
FIRMWARE = Budget.of(60)
PROMPT = r"\d+ > "
BOARDS = pytest.mark.parametrize(
    ("platform", "firmware", "mapped"),
    [("g5", "openbios", True), ("g5", "openbios", False), ("pseries-970", "slof", False)],
)


async def _forth(machine: Machine, typed: str, answer: str) -> None:
    lines = (Exchange(send=f"{typed}\r"), Exchange(expect=answer))
    await machine.wait(f"`{typed}` is answered", hold(machine.console, lines), FIRMWARE)


async def _save(spec: MachineSpec, folder: Path, evidence: Path, *, mapped: bool) -> MachineSpec:
    """Save a machine whose Forth knows a word of ours, let it forget it, and return what it was."""
    if mapped:
        spec = replace(spec, ram=snapshot.memory_file("test", spec.platform.memory))
    async with Machine(spec, evidence) as machine:
        await machine.wait("the firmware is there", hold(machine.console, (Exchange(expect=PROMPT),)), FIRMWARE)
        await _forth(machine, "decimal 123 457 * constant kept", PROMPT)
        await snapshot.save(machine, folder)
        await snapshot.go_on(machine)
        await _forth(machine, "kept 1 + .", "56212")
    if spec.ram:
        os.close(spec.ram.descriptor)
    return spec


@BOARDS
def test_a_clone_knows_what_was_saved(
    platform: str, firmware: str, mapped: bool, firmware_spec: Make, tmp_path: Path
) -> None:
    """Twice, so that what the first clone wrote to its memory would show in the second."""
    folder = tmp_path / "saved"
    folder.mkdir()

    async def scene() -> None:
        spec = await _save(firmware_spec(platform, firmware), folder, tmp_path / "first", mapped=mapped)
        for number in (1, 2):
            ram = snapshot.saved_memory(folder)
            assert (ram is not None) is mapped
            clone = replace(spec, ram=ram, incoming=True)
            async with Machine(clone, tmp_path / f"clone{number}") as machine:
                await snapshot.load(machine, folder)
                await _forth(machine, "kept .", "56211")
                await _forth(machine, "decimal 7 constant kept kept .", " 7 ")
            if ram:
                os.close(ram.descriptor)

    asyncio.run(scene())
    assert snapshot.size_of(folder / snapshot.STATE) > 0


@pytest.mark.parametrize("half", [0, 1000])
def test_a_state_that_is_cut_off_is_refused(half: int, firmware_spec: Make, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()

    async def scene() -> None:
        spec = await _save(firmware_spec("g5", "openbios"), folder, tmp_path / "first", mapped=False)
        os.truncate(folder / snapshot.STATE, half)
        async with Machine(replace(spec, incoming=True), tmp_path / "clone") as machine:
            await snapshot.load(machine, folder)

    with pytest.raises(TestbedError):
        asyncio.run(scene())


def test_memory_that_was_never_written_takes_no_room(tmp_path: Path) -> None:
    ram = snapshot.memory_file("test", 64)
    os.pwrite(ram.descriptor, b"a" * 4096, 8 << 20)
    os.pwrite(ram.descriptor, b"b", (64 << 20) - 1)
    (tmp_path / snapshot.RAM).write_bytes(b"")
    saved = os.open(tmp_path / snapshot.RAM, os.O_RDWR)
    os.truncate(saved, 64 << 20)
    snapshot._copy(ram.descriptor, saved)
    copied = snapshot.copied_memory(tmp_path, "copy")
    assert copied is not None
    for descriptor in (saved, copied.descriptor):
        content = os.pread(descriptor, 1 << 27, 0)
        assert (len(content), content.count(b"a"), content[-1:]) == (64 << 20, 4096, b"b")
        assert os.fstat(descriptor).st_blocks * 512 <= 1 << 20
    for descriptor in (ram.descriptor, saved, copied.descriptor):
        os.close(descriptor)
