"""A CPU that QEMU has lost is told from one that sleeps, runs, or was stopped."""

from __future__ import annotations

import pytest

from sim.lost import standing

# Of a real dom0 with four CPUs, of which the second was lost; shortened.
LOST = """
CPU#0
NIP c0000000000779e0   LR c0000000000799a4 CTR c000000000079900 XER 0000000000000000 CPU#0
MSR 800000000200b032 HID0 0000000060000000  HF 26102016 iidx 1 didx 1
TB 00000009 40186058206 DECR 1006654665

CPU#1
NIP 0000000000000900   LR c0000000000799a4 CTR c000000000079900 XER 0000000000000000 CPU#1
MSR 8000000000001000 HID0 0000000060000000  HF 6c100006 iidx 3 didx 3
TB 00000009 40186068190 DECR 3685841442
"""


def test_one_of_two_is_lost() -> None:
    assert standing(LOST) == [1]
    assert standing(LOST.replace("\n", "\r\n")) == [1]


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("NIP 0000000000000900", "NIP 0000000000000904"),  # it runs: it has done one instruction
        ("NIP 0000000000000900", "NIP c000000000000900"),  # not in real mode
        ("MSR 8000000000001000", "MSR 8000000000009000"),  # it takes interrupts
    ],
)
def test_others_are_not(what: str, instead: str) -> None:
    assert standing(LOST.replace(what, instead)) == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("MSR 8000000000001000", "MSR 8000000000000000"),  # a dom0 with one CPU
        ("NIP 0000000000000900", "NIP c000000000004900"),  # a POWER9, which stays translated
        ("NIP 0000000000000900", "NIP 0000000000000500"),
    ],
)
def test_so_is_this_one(what: str, instead: str) -> None:
    assert standing(LOST.replace(what, instead)) == [1]


def test_nothing_is_told_of_a_silent_qemu() -> None:
    assert standing("") == []
