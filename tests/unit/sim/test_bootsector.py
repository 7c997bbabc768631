"""The boot sector by which a PC's speed is measured; that it runs is shown by an integration test."""

from __future__ import annotations

import pytest

from sim.bootsector import ADDEND, FACTOR, SIZE, boot_sector, printed


@pytest.mark.parametrize("rounds", [1, 2, 7, 1000])
def test_what_it_prints_is_what_its_loop_draws(rounds: int) -> None:
    value = 0
    for _ in range(rounds):
        value = (value * FACTOR + ADDEND) % 2**32
    assert printed(rounds) == "".join("ABCDEFGHIJKLMNOP"[int(digit, 16)] for digit in f"{value:08x}")


def test_a_bios_takes_it_for_one() -> None:
    sector = boot_sector(5)
    assert len(sector) == SIZE
    assert sector.endswith(b"\x55\xaa")
    assert sector.startswith(b"\x66\xb9\x05\0\0\0")


def test_its_jumps_lead_to_where_the_loops_begin() -> None:
    sector = boot_sector(5)
    draw = sector.index(b"\x66\x69\xc0")
    back = sector.index(b"\x75", draw)
    assert back + 2 + sector[back + 1] - 256 == draw
    digit = sector.index(b"\x66\xc1\xc3")
    again = sector.index(b"\xe2", digit)
    assert again + 2 + sector[again + 1] - 256 == digit
