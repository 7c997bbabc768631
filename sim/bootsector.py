"""A program for a PC without a system: it computes for a while, and tells the result on the serial line."""

from __future__ import annotations

import struct

SIZE = 512
COM1 = 0x3F8
# The numbers of a linear congruential generator (Numerical Recipes, "An Even Quicker Generator").
FACTOR, ADDEND = 1664525, 1013904223


def boot_sector(rounds: int) -> bytes:
    """Return a sector that draws so many numbers from 0 on, and prints the last one as `printed` does."""
    code = b"".join(
        (
            b"\x66\xb9" + struct.pack("<I", rounds),  # mov ecx, rounds
            b"\x66\x31\xc0",  # xor eax, eax
            b"\x66\x69\xc0" + struct.pack("<I", FACTOR),  # draw: imul eax, eax, FACTOR
            b"\x66\x05" + struct.pack("<I", ADDEND),  # add eax, ADDEND
            b"\x66\x49\x75\xef",  # dec ecx; jnz draw
            b"\x66\x89\xc3\xba" + struct.pack("<H", COM1),  # mov ebx, eax; mov dx, COM1
            b"\xb9\x08\x00",  # mov cx, 8
            b"\x66\xc1\xc3\x04\x88\xd8",  # digit: rol ebx, 4; mov al, bl
            b"\x24\x0f\x04\x41\xee",  # and al, 15; add al, 'A'; out dx, al
            b"\xe2\xf3",  # loop digit
            b"\xf4\xeb\xfd",  # hlt, for ever
        )
    )
    return code.ljust(SIZE - 2, b"\0") + b"\x55\xaa"


def printed(rounds: int) -> str:
    """Return what the sector prints: eight letters, A for 0 to P for 15."""
    # x -> a*x + c composed with itself, by squaring.
    factor, addend, value_factor, value_addend = FACTOR, ADDEND, 1, 0
    while rounds:
        if rounds & 1:
            value_factor, value_addend = value_factor * factor, value_addend * factor + addend
        factor, addend = factor * factor % 2**32, (factor + 1) * addend % 2**32
        rounds >>= 1
        value_factor, value_addend = value_factor % 2**32, value_addend % 2**32
    return "".join(chr(ord("A") + (value_addend >> shift & 15)) for shift in range(28, -1, -4))
