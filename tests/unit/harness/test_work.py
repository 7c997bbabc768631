"""What is computed from what guests print."""

from __future__ import annotations

import struct

import pytest

from harness.steps.clock import until
from harness.steps.smp import IPI, TIMER, interrupts
from harness.steps.work import ADDEND, FACTOR, FIRST, MODULUS, chain, longest_gap
from harness.toolstacks.cores import core_offset
from harness.toolstacks.qemu_cpus import thread_times, ticks_between
from harness.verbs import StepFailed


def test_the_chain_is_that_of_the_guest_s_program() -> None:
    value = FIRST
    for count in range(200):
        assert chain(count) == value
        value = (value * FACTOR + ADDEND) % MODULUS
    assert chain(10**12) != chain(10**12 + 1)


@pytest.mark.parametrize(("numbers", "gap"), [([], 0), ([7], 0), ([0, 1, 2], 0), ([0, 1, 5, 6, 8], 3), ([3, 90], 86)])
def test_the_longest_gap(numbers: list[int], gap: int) -> None:
    assert longest_gap(numbers) == gap


def test_interrupts_are_found_by_label_and_by_name() -> None:
    text = (
        "           CPU0       CPU1       \n"
        " 16:         31         37      XICS   2 Edge      IPI\n"
        " 23:       1577          0      XICS 4355 Edge      ibmvscsi\n"
        "LOC:       4963       5004   Local timer interrupts for timer event device\n"
    )
    assert [line[:2] for line in interrupts(text, "IPI")] == [[31, 37]]
    assert [line[:2] for line in interrupts(text, "LOC")] == [[4963, 5004]]
    assert interrupts(text, "PMI") == []


def test_time_in_guests_is_what_was_added_between_two_looks() -> None:
    assert thread_times("thread 7 100 5 1\nthread 8 1 1 2\nthread 7 300 6 1\nthread 8 1 4 2\n") == {1: 201, 2: 3}
    assert ticks_between("cpu0 100\ncpu1 5\ncpu0 508\ncpu1 5\n") == {0: 408, 1: 0}


def _core(kind: int = 4, machine: int = 21, order: str = ">") -> bytes:
    data = 2 if order == ">" else 1
    head = struct.pack(
        f"{order}16sHHIQQQIHHHHHH", b"\x7fELF" + bytes([2, data, 1]), kind, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return head + struct.pack(f"{order}IIQQQQQQ", 1, 0, 0x1000, 0, 0x200000, 0x8000, 0x8000, 0)


def test_under_xen_each_cpu_has_lines_of_its_own() -> None:
    text = (
        "           CPU0       CPU1       \n"
        "  0:       1847          0  xen-percpu    -virq      timer0\n"
        "  6:          0        911  xen-percpu    -virq      timer1\n"
        "  1:         12          0  xen-percpu    -ipi       resched0\n"
        "  3:          5          0  xen-percpu    -ipi       callfuncsingle0\n"
        "  5:         89          0   xen-dyn    -event     xenbus\n"
    )
    assert interrupts(text, TIMER) == [[1847, 0], [0, 911]]
    assert interrupts(text, IPI) == [[12, 0], [5, 0]]


def test_where_a_byte_of_memory_is_in_a_core() -> None:
    assert core_offset(_core(), 0x200010) == 0x1010


@pytest.mark.parametrize(
    ("head", "address", "told"),
    [
        (_core(), 0x1FFFFF, "has no memory at 0x1fffff"),
        (_core(), 0x208000, "has no memory"),
        (_core(kind=2), 0x200000, "no core of a 64-bit big-endian PowerPC"),
        (_core(machine=62), 0x200000, "no core of a 64-bit big-endian PowerPC"),
        (_core(order="<"), 0x200000, "no core of a 64-bit big-endian PowerPC"),
        (b"not an ELF file at all", 0, "no ELF file"),
    ],
)
def test_what_is_no_core_is_told(head: bytes, address: int, told: str) -> None:
    with pytest.raises(StepFailed, match=told):
        core_offset(head, address)


def test_waiting_in_a_guest_ends_by_itself() -> None:
    import subprocess

    fails = subprocess.run(["sh", "-c", until("false", "echo never", 0)], capture_output=True, text=True, check=False)
    assert (fails.returncode, fails.stdout) == (1, "never\n")
    assert subprocess.run(["sh", "-c", until("true", "echo never", 0)], check=False).returncode == 0
