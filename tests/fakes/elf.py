"""Small ELF files as a linker would leave them, right in everything but what a test asks for."""

from __future__ import annotations

import struct

LINUX = 0xC000000000000000
PPC, PPC64, X86_64 = 20, 21, 62
CODE = b"\x60\x00\x00\x00" * 64


def make_elf(
    *,
    bits: int = 64,
    order: str = ">",
    machine: int = PPC64,
    kind: int = 2,
    virtual: int = LINUX,
    physical: int = 0,
    entry: int | None = None,
    memory: int = 0x1000,
    content: bytes = CODE,
    sections: int = 1,
    program_type: int = 1,
) -> bytes:
    """Return an ELF file with one segment that holds `content`, and a table of so many empty sections behind it."""
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 2 if order == ">" else 1, 1]) + bytes(9)
    header_size, program_size, section_size = (64, 56, 64) if bits == 64 else (52, 32, 40)
    offset = header_size + program_size
    end = offset + len(content)
    word = "Q" if bits == 64 else "I"
    mask = (1 << bits) - 1
    entered = (virtual if entry is None else entry) & mask
    header = struct.pack(f"{order}HHI{word}{word}{word}I", kind, machine, 1, entered, header_size, end, 0)
    header += struct.pack(f"{order}HHHHHH", header_size, program_size, 1, section_size, sections, 0)
    if bits == 64:
        program = struct.pack(
            f"{order}IIQQQQQQ", program_type, 7, offset, virtual & mask, physical, len(content), memory, 8
        )
    else:
        program = struct.pack(
            f"{order}IIIIIIII", program_type, offset, virtual & mask, physical, len(content), memory, 7, 4
        )
    return ident + header + program + content + bytes(section_size * sections)
