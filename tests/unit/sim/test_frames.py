"""Stacks, as QEMU's monitor tells of them. What is read of a real one: tests/system/test_autopsy.py."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import pytest

from sim.errors import QmpFailed
from sim.frames import MOST_FRAMES, CpuStack, read_stacks
from sim.qmp import Qmp

REGISTERS = """\

CPU#{cpu}
NIP c000000000000100   LR c000000000000200 CTR 0000000000000000 XER 0000000000000000 CPU#{cpu}
MSR {msr:016x} HID0 0000000060000000  HF 24100016 iidx 1 didx 1
GPR00 c0000000000cac90 {sp:016x} c00000000087a000 00000000002625a0
GPR04 c000000000b5c850 c000000000b5c890 0000000000000001 0000000000000001
"""
BIG, LITTLE = 0x8000000000000032, 0x8000000000000033


class Monitor:
    """Answers as QEMU 10.0 does, for memory that a test has made up."""

    def __init__(self, registers: str, memory: dict[int, int], *, running: bool = True) -> None:
        self.said: list[str] = []
        self._registers = registers
        self._memory = memory
        self._running = running

    async def execute(self, command: str, **arguments: Any) -> Any:
        if command != "human-monitor-command":
            self.said.append(command)
            return {"running": self._running}
        line: str = arguments["command_line"]
        if line == "info registers -a":
            return self._registers
        found = re.fullmatch(r"x /(\d+)gx (0x[0-9a-f]+)", line)
        assert found is not None
        words, address = int(found[1]), int(found[2], 16)
        text = ""
        for at in range(address, address + 8 * words, 16):
            if at not in self._memory:
                return f"{text}Cannot access memory\r\n"
            text += f"{at:016x}: {self._memory[at]:#018x} {self._memory.get(at + 8, 0):#018x}\r\n"
        return text


def _read(monitor: Monitor) -> list[CpuStack]:
    return asyncio.run(read_stacks(cast(Qmp, monitor)))


def _chain(*frames: tuple[int, int]) -> dict[int, int]:
    """Return memory with frames (address, saved LR), each leading to the next, the last one to nothing."""
    memory: dict[int, int] = {}
    for (address, saved), following in zip(frames, [*frames[1:], (0, 0)], strict=True):
        memory |= {address: following[0], address + 8: 0, address + 16: saved, address + 24: 0}
    return memory


def test_every_cpu_s_frames_are_followed_up_to_the_end_of_the_chain() -> None:
    text = REGISTERS.format(cpu=0, msr=BIG, sp=0x1000) + REGISTERS.format(cpu=1, msr=BIG, sp=0x5000)
    monitor = Monitor(text, _chain((0x1000, 0), (0x1080, 0xA), (0x1100, 0xB)) | _chain((0x5000, 0xC)))
    first, second = _read(monitor)
    assert (first.cpu, first.nip, first.lr, first.sp) == (0, 0xC000000000000100, 0xC000000000000200, 0x1000)
    assert [(frame.address, frame.words[2]) for frame in first.frames] == [(0x1000, 0), (0x1080, 0xA), (0x1100, 0xB)]
    assert (second.cpu, [frame.address for frame in second.frames]) == (1, [0x5000])
    assert monitor.said == ["query-status", "stop", "cont"]


def test_a_machine_that_was_stopped_stays_so() -> None:
    monitor = Monitor(REGISTERS.format(cpu=0, msr=BIG, sp=0x1000), {}, running=False)
    assert [frame.words for frame in _read(monitor)[0].frames] == [()]
    assert monitor.said == ["query-status"]


def test_a_chain_that_runs_in_a_circle_or_for_ever_ends() -> None:
    registers = REGISTERS.format(cpu=0, msr=BIG, sp=0x1000)
    circle = _chain((0x1000, 1), (0x1100, 2)) | {0x1100: 0x1000}
    assert len(_read(Monitor(registers, circle))[0].frames) == 2
    endless = _chain(*((0x1000 + 32 * number, number) for number in range(500)))
    assert len(_read(Monitor(registers, endless))[0].frames) == MOST_FRAMES


def test_a_little_endian_program_s_words_are_turned() -> None:
    swapped = {at: int.from_bytes(word.to_bytes(8, "big"), "little") for at, word in _chain((0x1000, 0xA)).items()}
    (cpu,) = _read(Monitor(REGISTERS.format(cpu=0, msr=LITTLE, sp=0x1000), swapped))
    assert cpu.frames[0].words[2] == 0xA


def test_registers_of_another_kind_are_told() -> None:
    monitor = Monitor("\nCPU#0\nRAX=0000000000000000\n", {})
    with pytest.raises(QmpFailed, match="not the registers of a 64-bit PowerPC"):
        _read(monitor)
    assert monitor.said == ["query-status", "stop", "cont"]
