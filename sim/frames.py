"""Stacks of a PowerPC machine's CPUs, raw: registers and the words of each frame, read through QEMU's monitor."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from sim.errors import QmpFailed
from sim.qmp import Qmp

# So many frames of one CPU: a kernel's stack is 16 KiB, and no frame is smaller than 112 bytes (ELFv1).
MOST_FRAMES = 64
# Words (8 bytes) that are read of each frame: up to the end of an interrupt's registers on a Linux stack.
FRAME_WORDS = 64
# So long (s) all of it may take; and so long the machine has to go on again.
PATIENCE = 5.0
MSR_LE = 1
_REGISTER = re.compile(r"\b(NIP|LR|MSR) ([0-9a-f]{16})")
_GPRS = re.compile(r"^GPR(\d\d)((?: [0-9a-f]{16})+)", re.MULTILINE)
_CPU = re.compile(r"^CPU#(\d+)\s*$", re.MULTILINE)
_DUMP = re.compile(r"^[0-9a-f]{16}:((?: 0x[0-9a-f]{16})+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Frame:
    """A stack frame: its address and its first words; word 0 is the back chain, word 2 the saved LR (64-bit ABIs).

    There are fewer words where memory could not be read.
    """

    address: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class CpuStack:
    """A CPU's program counter, link register, machine state, stack pointer, and the frames from the innermost on."""

    cpu: int
    nip: int
    lr: int
    msr: int
    sp: int
    frames: tuple[Frame, ...]


async def read_stacks(qmp: Qmp) -> list[CpuStack]:
    """Return the stack of every CPU, with the machine stopped meanwhile. Raises QmpFailed, TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        running = (await qmp.execute("query-status"))["running"]
    try:
        async with asyncio.timeout(PATIENCE):
            if running:
                # A stack that is in use is not one that can be walked.
                await qmp.execute("stop")
            text = await _monitor(qmp, "info registers -a", 0)
            return [await _walk(qmp, registers) for registers in parse_registers(text)]
    finally:
        if running:
            async with asyncio.timeout(PATIENCE):
                await qmp.execute("cont")


def parse_registers(text: str) -> list[CpuStack]:
    """Return each CPU of what `info registers -a` prints, without frames. Raises QmpFailed for what is none of it."""
    found: list[CpuStack] = []
    # [before, number, block, number, block, ...]; older monitors name the CPU within the first line only.
    parts = _CPU.split(text)
    for number, block in zip(parts[1::2], parts[2::2], strict=True):
        named = {name: int(value, 16) for name, value in _REGISTER.findall(block)}
        gprs = {int(first): values.split() for first, values in _GPRS.findall(block)}
        try:
            stack_pointer = int(gprs[0][1], 16)
            found.append(CpuStack(int(number), named["NIP"], named["LR"], named["MSR"], stack_pointer, ()))
        except (KeyError, IndexError) as error:
            raise QmpFailed(f"CPU {number}: not the registers of a 64-bit PowerPC") from error
    if not found:
        raise QmpFailed("no CPU in what the monitor says of registers")
    return found


async def _walk(qmp: Qmp, cpu: CpuStack) -> CpuStack:
    frames: list[Frame] = []
    address = cpu.sp
    while len(frames) < MOST_FRAMES:
        words = await _read(qmp, cpu, address)
        frames.append(Frame(address, words))
        # Stacks grow down: a chain that does not lead up is at its end, or broken.
        if not words or words[0] <= address:
            break
        address = words[0]
    return CpuStack(cpu.cpu, cpu.nip, cpu.lr, cpu.msr, cpu.sp, tuple(frames))


async def _read(qmp: Qmp, cpu: CpuStack, address: int) -> tuple[int, ...]:
    text = await _monitor(qmp, f"x /{FRAME_WORDS}gx {address:#x}", cpu.cpu)
    words = [int(word, 16) for line in _DUMP.findall(text) for word in line.split()]
    if cpu.msr & MSR_LE:
        # The monitor reads in the order of the machine, not in that of the program.
        words = [int.from_bytes(word.to_bytes(8, "big"), "little") for word in words]
    return tuple(words)


async def _monitor(qmp: Qmp, line: str, cpu: int) -> str:
    return str(await qmp.execute("human-monitor-command", command_line=line, cpu_index=cpu)).replace("\r", "")
