"""Where a PowerPC goes after an instruction: what a debugger's single step must show."""

from __future__ import annotations

from collections.abc import Mapping

from base.errors import TestbedError

MASK = (1 << 64) - 1


class NotPredicted(TestbedError):
    """An instruction after which the program goes on somewhere that the registers asked for do not tell."""


def next_pc(word: int, registers: Mapping[str, int]) -> int:
    """Return the address of the instruction that follows `word`; `registers` has pc, lr, ctr and cr, before it.

    For a 64-bit machine (Power ISA, Book I, chapter 2: Branch Facility). Raises NotPredicted for what leaves the
    program: system calls, returns from interrupts, and traps.
    """
    pc, after = registers["pc"], (registers["pc"] + 4) & MASK
    opcode, extended, absolute = word >> 26, word >> 1 & 0x3FF, word >> 1 & 1
    if opcode == 18:  # b
        return _target(pc, _signed(word & 0x03FFFFFC, 26), absolute)
    if opcode == 16:  # bc
        return _target(pc, _signed(word & 0xFFFC, 16), absolute) if _taken(word, registers) else after
    if opcode == 19 and extended == 16:  # bclr
        return registers["lr"] & ~3 if _taken(word, registers) else after
    if opcode == 19 and extended == 528:  # bcctr: its own count is never decremented
        return registers["ctr"] & ~3 if _condition(word, registers) else after
    # sc and scv; rfid and hrfid; twi and tdi; tw and td
    if opcode == 17 or (opcode == 19 and extended in (18, 82, 274)) or opcode in (2, 3):
        raise NotPredicted(f"{word:#010x} at {pc:#x} leaves the program")
    if opcode == 31 and extended in (4, 68):
        raise NotPredicted(f"{word:#010x} at {pc:#x} may trap")
    return after


def _target(pc: int, distance: int, absolute: int) -> int:
    return ((0 if absolute else pc) + distance) & MASK


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _taken(word: int, registers: Mapping[str, int]) -> bool:
    counted = True
    options = word >> 21 & 31
    if not options & 4:
        left = (registers["ctr"] - 1) & MASK
        counted = (left == 0) if options & 2 else (left != 0)
    return counted and _condition(word, registers)


def _condition(word: int, registers: Mapping[str, int]) -> bool:
    options, bit = word >> 21 & 31, word >> 16 & 31
    if options & 16:
        return True
    # Bit 0 of the condition register is its leftmost one.
    return (registers["cr"] >> (31 - bit) & 1) == (options >> 3 & 1)
