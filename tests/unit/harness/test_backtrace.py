"""Kernel stacks with names. With a real kernel: tests/system/test_autopsy.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import TestbedError
from harness.backtrace import MSR_IR, MSR_PR, PAGE_OFFSET, REGS_MARKERS, Symbols, describe, load_symbols
from sim.frames import CpuStack, Frame

BASE = PAGE_OFFSET + 0x8000
SYMBOLS = Symbols(
    [(BASE, "_stext"), (BASE, "start"), (BASE + 0x100, "sleep_on"), (BASE + 0x180, "do_it"), (BASE + 0x200, "")]
)


def _stack(nip: int, *frames: Frame, msr: int = MSR_IR) -> CpuStack:
    return CpuStack(0, nip, BASE + 0x184, msr, frames[0].address if frames else 0, frames)


@pytest.mark.parametrize(
    ("offset", "name"),
    [(0, "start+0x0/0x100"), (0x17F, "sleep_on+0x7f/0x80"), (0x1FF, "do_it+0x7f/0x80"), (0x200, None), (-1, None)],
)
def test_an_address_is_named_after_the_function_that_it_is_in(offset: int, name: str | None) -> None:
    assert SYMBOLS.name(BASE + offset) == name


def test_the_caller_s_frame_tells_where_a_function_returns_to() -> None:
    text = describe(
        _stack(BASE + 0x110, Frame(0x1000, (0x1080, 0, 0xDEAD)), Frame(0x1080, (0, 0, BASE + 0x190))), SYMBOLS
    )
    assert text.splitlines() == [
        f"CPU 0: NIP {BASE + 0x110:016x} sleep_on+0x10/0x80",
        f"  LR {BASE + 0x184:016x} do_it+0x4/0x80 (the caller, or stale)",
        f"  [{0x1080:016x}] {BASE + 0x190:016x} do_it+0x10/0x80",
    ]


@pytest.mark.parametrize("marker", sorted(REGS_MARKERS))
def test_what_an_interrupt_came_into_is_named(marker: int) -> None:
    words = [0] * 64
    words[0], words[12], words[14 + 32], words[14 + 40] = 0x1200, marker, BASE + 0x104, 0x900
    text = describe(_stack(BASE, Frame(0x1000, tuple(words)), Frame(0x1200, (0, 0, 0))), SYMBOLS)
    assert f"--- interrupt 0x900 at {BASE + 0x104:016x} sleep_on+0x4/0x80" in text


def test_code_that_runs_without_translation_is_found_where_it_is_linked() -> None:
    assert "sleep_on+0x4/0x80" in describe(_stack(0x8104, msr=0), SYMBOLS)


def test_a_program_s_stack_is_not_taken_for_the_kernel_s() -> None:
    text = describe(_stack(0x10000, Frame(0x1000, (0x1080, 0, 0)), msr=MSR_PR | MSR_IR), SYMBOLS)
    assert "in user mode" in text
    assert "[" not in text


def test_a_kernel_without_symbols_says_so(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_text("no kernel")
    with pytest.raises(TestbedError, match="no symbols"):
        load_symbols(tmp_path / "vmlinux")
    with pytest.raises(TestbedError, match="no symbols"):
        load_symbols(tmp_path / "absent")
