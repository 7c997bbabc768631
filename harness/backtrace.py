"""Kernel stacks for people: raw frames of a CPU, named by the symbols of the kernel that runs there."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import TestbedError
from sim.errors import QmpFailed
from sim.frames import CpuStack, Frame, read_stacks
from sim.qmp import Qmp

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

# Where 64-bit PowerPC Linux maps memory (PAGE_OFFSET, arch/powerpc/include/asm/page.h); code that runs with address
# translation off is at its physical address.
PAGE_OFFSET = 0xC000_0000_0000_0000
MSR_PR, MSR_IR = 1 << 14, 1 << 5
# An interrupt's frame in Linux (arch/powerpc/include/asm/ptrace.h): a mark, then registers (struct pt_regs). For ELFv1
# the mark is 96 bytes from the frame's start and the registers 112, for ELFv2 16 and 32.
REGS_MARKERS = {int.from_bytes(b"regshere", "big"), int.from_bytes(b"REGS", "big")}  # older kernels, 6.1
MARKS = ((12, 14), (2, 4))
PT_NIP, PT_TRAP = 32, 40  # words into struct pt_regs

SYMBOL = "IBBHQQ"  # Elf64_Sym: name, info, other, section, value, size
STT_NOTYPE, STT_FUNC = 0, 2
SHF_EXECINSTR = 4


class Symbols:
    """The functions of a kernel, by address."""

    def __init__(self, found: Sequence[tuple[int, str]]) -> None:
        # Of several names of one address the shortest is the one that people use.
        best: dict[int, str] = {}
        for address, name in found:
            if address not in best or (len(name), name) < (len(best[address]), best[address]):
                best[address] = name
        self._addresses = sorted(best)
        self._names = [best[address] for address in self._addresses]

    def name(self, address: int) -> str | None:
        """Return `function+0xoffset/0xsize` for an address in the kernel's code, None for any other."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0 or index + 1 >= len(self._addresses):
            return None  # the last entry is the end of the code
        start, end = self._addresses[index], self._addresses[index + 1]
        return f"{self._names[index]}+{address - start:#x}/{end - start:#x}" if self._names[index] else None


def load_symbols(path: Path) -> Symbols:
    """Read the functions of a 64-bit PowerPC kernel (`vmlinux`). Raises TestbedError without any."""
    from elftools.common.exceptions import ELFError  # noqa: PLC0415  (lazy: only failures need it)
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        with path.open("rb") as stream:
            found = list(_functions(ELFFile(stream)))
    except (OSError, ELFError, struct.error) as error:
        raise TestbedError(f"no symbols: {error}", where=str(path)) from error
    if not found:
        raise TestbedError("no symbols: the kernel is stripped", where=str(path))
    return Symbols(found)


def _functions(elf: ELFFile) -> Iterator[tuple[int, str]]:
    sections = list(elf.iter_sections())
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return
    names: bytes = sections[table["sh_link"]].data()
    code = {index for index, section in enumerate(sections) if section["sh_flags"] & SHF_EXECINSTR}
    descriptors = next((index for index, section in enumerate(sections) if section.name == ".opd"), None)
    opd: bytes = sections[descriptors].data() if descriptors is not None else b""
    base = sections[descriptors]["sh_addr"] if descriptors is not None else 0
    # By struct, not symbol by symbol through the library: a kernel has fifty thousand, and the cell waits.
    layout = ("<" if elf.little_endian else ">") + SYMBOL
    for name_at, info, _, section, value, _ in struct.iter_unpack(layout, table.data()):
        kind = info & 15
        if kind not in {STT_NOTYPE, STT_FUNC}:
            continue
        name = names[name_at : names.index(b"\0", name_at)].decode(errors="replace")
        if section in code and name:
            yield value, name.removeprefix(".")
        elif section == descriptors and kind == STT_FUNC and 0 <= value - base <= len(opd) - 8:
            # ELFv1: the name is that of a descriptor, whose first word is where the code begins.
            yield int.from_bytes(opd[value - base : value - base + 8], "big"), name
    for index in code:
        yield sections[index]["sh_addr"] + sections[index]["sh_size"], ""


def describe(stack: CpuStack, symbols: Symbols) -> str:
    """Return a CPU's stack in lines, innermost first."""
    lines = [f"CPU {stack.cpu}: NIP {_at(stack.nip, stack.msr, symbols)}"]
    if stack.msr & MSR_PR:
        return f"{lines[0]}\n  in user mode, or in a guest of KVM-PR: the stack is not the kernel's"
    lines.append(f"  LR {_at(stack.lr, stack.msr, symbols)} (the caller, or stale)")
    for frame, outer in pairwise((*stack.frames, None)):
        assert frame is not None
        if (interrupted := _interrupted(frame)) is not None:
            nip, trap = interrupted
            lines.append(f"  [{frame.address:016x}] --- interrupt {trap:#x} at {_named(nip, symbols)}")
        # A function saves the link register in its caller's frame.
        if outer is not None and len(outer.words) > 2 and outer.words[2]:
            lines.append(f"  [{outer.address:016x}] {_named(outer.words[2], symbols)}")
    if stack.frames and not stack.frames[-1].words:
        lines.append(f"  the stack cannot be read at {stack.frames[-1].address:016x}")
    return "\n".join(lines)


def _at(address: int, msr: int, symbols: Symbols) -> str:
    return _named(address if msr & MSR_IR else address | PAGE_OFFSET, symbols)


def _named(address: int, symbols: Symbols) -> str:
    return f"{address:016x} {symbols.name(address) or '(not in the kernel: a module, firmware or no code)'}"


def _interrupted(frame: Frame) -> tuple[int, int] | None:
    """Return where an interrupt came and which, if the frame holds the registers of one."""
    for mark, registers in MARKS:
        if len(frame.words) > registers + PT_TRAP and frame.words[mark] in REGS_MARKERS:
            return frame.words[registers + PT_NIP], frame.words[registers + PT_TRAP]
    return None


async def add_stacks(qmp: Qmp, kernel: Path, autopsy: Path) -> None:
    """Append the kernel stack of every CPU to an autopsy. Raises only OSError, when the file cannot be written."""
    try:
        stacks = await read_stacks(qmp)
        symbols = load_symbols(kernel)
        text = "\n".join(describe(stack, symbols) for stack in stacks)
    except (QmpFailed, TimeoutError) as error:
        text = f"not to be had: {str(error) or 'QEMU did not answer in time'}"
    except TestbedError as error:
        text = str(error)
    with autopsy.open("a") as stream:
        stream.write(f"kernel stacks ({kernel.name}), innermost first:\n{text}\n")
