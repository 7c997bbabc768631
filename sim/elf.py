"""What a loader needs to know of an ELF file: its headers, read as the ELF specification has them, and nothing else."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

MAGIC = b"\x7fELF"
Order = Literal["big", "little"]
# Names of machines as people write them (e_machine, ELF specification).
MACHINES = {3: "i386", 8: "MIPS", 20: "ppc", 21: "ppc64", 40: "arm", 62: "x86-64", 183: "arm64", 243: "RISC-V"}
# What a file is by its e_type.
KINDS = {1: "an object file that was not linked", 4: "a core dump"}
LOADABLE_KINDS = (2, 3)
_PT_LOAD = 1
_CLASSES = {1: 32, 2: 64}
_ORDERS: dict[int, Order] = {1: "little", 2: "big"}
# Before the header's fields: magic, class, byte order, version, ABI.
_IDENT = 16
# Fields from e_type to e_shnum; of the 32-bit and of the 64-bit header.
_HEADER = {32: "HHIIIIIHHHHH", 64: "HHIQQQIHHHHH"}
# Fields of a program header, and where they are in the order type, offset, vaddr, paddr, filesz, memsz.
_PROGRAM = {32: ("IIIIII", (0, 1, 2, 3, 4, 5)), 64: ("IIQQQQQ", (0, 2, 3, 4, 5, 6))}


class Truncated(Exception):
    """The file ends before what its headers promise; the text says what is missing."""


@dataclass(frozen=True)
class Segment:
    """A part of the file that is loaded: where it stands in the file and in memory (all in bytes)."""

    offset: int
    virtual: int
    physical: int
    in_file: int
    in_memory: int

    def holds(self, address: int) -> bool:
        """Return whether an address is in it, virtual or physical."""
        return any(0 <= address - start < self.in_memory for start in (self.virtual, self.physical))


@dataclass(frozen=True)
class Elf:
    """An ELF file: `bits` is 32 or 64, `machine` and `kind` are numbers of the specification."""

    bits: int
    order: Order
    machine: int
    kind: int
    entry: int
    segments: tuple[Segment, ...]

    @property
    def machine_name(self) -> str:
        """The machine as people write it."""
        return MACHINES.get(self.machine, f"machine {self.machine}")


def read_elf(stream: BinaryIO, size: int) -> Elf:
    """Read an ELF file of so many bytes. Raises Truncated, ValueError for what is no valid header, OSError."""
    ident = stream.read(_IDENT)
    if len(ident) < _IDENT:
        raise Truncated("it ends inside its ELF header")
    if ident[:4] != MAGIC or ident[4] not in _CLASSES or ident[5] not in _ORDERS:
        raise ValueError("its ELF header is damaged")
    bits, order = _CLASSES[ident[4]], _ORDERS[ident[5]]
    sign = "<" if order == "little" else ">"
    header = sign + _HEADER[bits]
    fields = stream.read(struct.calcsize(header))
    if len(fields) < struct.calcsize(header):
        raise Truncated("it ends inside its ELF header")
    kind, machine, _, entry, programs, sections, _, _, each, count, section_size, section_count = struct.unpack(
        header, fields
    )
    segments = tuple(_segments(stream, size, sign, bits, (programs, each, count)))
    if sections + section_size * section_count > size:
        raise Truncated(f"its section table ends at byte {sections + section_size * section_count} of {size}")
    return Elf(bits, order, machine, kind, entry, segments)


def _segments(stream: BinaryIO, size: int, sign: str, bits: int, table: tuple[int, int, int]) -> list[Segment]:
    start, each, count = table
    form, places = sign + _PROGRAM[bits][0], _PROGRAM[bits][1]
    if start + each * count > size:
        raise Truncated(f"its program headers end at byte {start + each * count} of {size}")
    if count and each < struct.calcsize(form):
        raise ValueError("its program headers are too short")
    found = []
    for number in range(count):
        stream.seek(start + number * each)
        values = struct.unpack(form, stream.read(struct.calcsize(form)))
        kind, offset, virtual, physical, in_file, in_memory = (values[place] for place in places)
        if kind != _PT_LOAD:
            continue
        if offset + in_file > size:
            raise Truncated(f"what is to be loaded ends at byte {offset + in_file} of {size}")
        found.append(Segment(offset, virtual, physical, in_file, in_memory))
    return found
