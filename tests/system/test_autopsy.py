"""A kernel that hangs: where it does is in the autopsy, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec
from harness.worker import run_cell

Make = Callable[..., RunSpec]
# The write never returns: the kernel panics in it, and spins before it reboots (panic=5 on its command line).
CRASH = "prepare: [boot-dom0]\nsteps:\n  - run: {domain: dom0, command: echo c >/proc/sysrq-trigger}\n"
# A deadline that passes while the kernel is on its way.
EARLY = "steps:\n  - boot-dom0: {host: dom0, within: 1}\n"


def _autopsy(spec: RunSpec, folder: Path, verdict: str) -> str:
    (folder / "cell").mkdir()
    result = run_cell(spec, folder / "cell")
    assert result.raw == verdict, result.message
    return (folder / "cell/autopsy.txt").read_text()


@pytest.mark.parametrize("platform", ["g5", "pseries-970"])
def test_a_crash_is_followed_from_the_delay_back_to_the_system_call(
    platform: str, spec_for: Make, tmp_path: Path
) -> None:
    text = _autopsy(spec_for(CRASH, platform), tmp_path, "fail")
    stack = text.partition("kernel stacks")[2]
    order = [stack.find(name) for name in (" panic+", " sysrq_handle_crash+", " vfs_write+", " system_call_")]
    assert -1 not in order, stack
    assert order == sorted(order)
    assert "--- interrupt 0xc00 at " in stack
    assert "Kernel panic" in text


def test_a_domu_s_stack_is_named_by_its_own_kernel_s_symbols(spec_for: Make, tmp_path: Path) -> None:
    crash = "  - run: {domain: u1, command: echo c >/proc/sysrq-trigger}\n"
    _autopsy(spec_for(f"prepare:\n  - boot-dom0\n  - create: u1\n  - boots: u1\nsteps:\n{crash}"), tmp_path, "fail")
    stack = (tmp_path / "cell/autopsy.u1.txt").read_text().partition("kernel stacks")[2]
    order = [stack.find(name) for name in (" panic+", " sysrq_handle_crash+", " vfs_write+")]
    assert -1 not in order, stack
    assert order == sorted(order)


def test_a_boot_that_is_late_shows_where_it_is(spec_for: Make, tmp_path: Path) -> None:
    text = _autopsy(spec_for(EARLY, "pseries-970"), tmp_path, "timeout")
    assert "CPU 0: NIP" in text.partition("kernel stacks")[2]
