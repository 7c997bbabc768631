"""Where a PowerPC goes after an instruction. The words are what GNU as makes of the text beside them."""

from __future__ import annotations

import pytest

from harness.powerpc import NotPredicted, next_pc

PC = 0xC000000000001000
# Condition field 0 says "equal" (its third bit from the left).
BEFORE = {"pc": PC, "lr": 0xC000000000002003, "ctr": 2, "cr": 0x20000000}


@pytest.mark.parametrize(
    ("word", "target"),
    [
        (0x7C0802A6, PC + 4),  # mflr r0
        (0xF821FF31, PC + 4),  # stdu r1,-208(r1)
        (0x48000010, PC + 16),  # b .+16
        (0x4BFFFFF1, PC - 16),  # bl .-16
        (0x48000102, 0x100),  # ba 0x100
        (0x41820008, PC + 8),  # beq .+8
        (0x40820008, PC + 4),  # bne .+8
        (0x4182FFF8, PC - 8),  # beq .-8
        (0x4200FFFC, PC - 4),  # bdnz .-4: one left
        (0x42400008, PC + 4),  # bdz .+8
        (0x429F0005, PC + 4),  # bcl 20,31,.+4
        (0x4E800020, 0xC000000000002000),  # blr
        (0x4D820020, 0xC000000000002000),  # beqlr
        (0x4C820020, PC + 4),  # bnelr
        (0x4E800420, 0),  # bctr
        (0x4E800421, 0),  # bctrl
        (0x4C00012C, PC + 4),  # isync: of the same opcode as blr
    ],
)
def test_the_next_instruction(word: int, target: int) -> None:
    assert next_pc(word, BEFORE) == target


def test_a_count_that_ends() -> None:
    last = {**BEFORE, "ctr": 1}
    assert next_pc(0x4200FFFC, last) == PC + 4  # bdnz
    assert next_pc(0x42400008, last) == PC + 8  # bdz


@pytest.mark.parametrize("word", [0x44000002, 0x4C000024, 0x0FE00000, 0x7C000088])  # sc, rfid, twi, td
def test_what_leaves_the_program_is_not_predicted(word: int) -> None:
    with pytest.raises(NotPredicted):
        next_pc(word, BEFORE)
