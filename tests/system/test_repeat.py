"""Boots that are repeated, with what makes them alike taken away: the difference must be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec
from harness.steps import repeat
from harness.worker import run_cell
from results.model import Result
from sim.counted import from_seed, replaying

Make = Callable[..., RunSpec]
REPLAYED = "cold: true\nsteps:\n  - records-boot\n  - replays-boot: {within: 15}\n"
SEEDED = "cold: true\nsteps:\n  - boots-from-seed: first\n  - boots-from-seed: second\n  - boots-were-alike\n"


def _run(spec_for: Make, directory: Path, text: str) -> Result:
    directory.mkdir()
    return run_cell(spec_for(text, platform="pseries-970", firmware="vof"), directory)


def test_a_replay_of_another_kernel_command_line(
    spec_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat, "replaying", lambda path: (*replaying(path), "-append", "console=hvc0 another"))
    result = _run(spec_for, tmp_path / "cell", REPLAYED)
    # QEMU stands still where it misses what it has recorded, unless the console says something else before.
    assert (result.raw, result.status) in (("fail", "close"), ("timeout", "close"))


def test_two_boots_with_another_kernel_command_line(
    spec_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(("the-first", "the-other"))
    monkeypatch.setattr(repeat, "from_seed", lambda seed: (*from_seed(seed), "-append", f"console=hvc0 {next(names)}"))
    result = _run(spec_for, tmp_path / "cell", SEEDED)
    assert (result.raw, result.status) == ("fail", "close")
    assert "the consoles differ in " in result.message
    assert "the-other" in (tmp_path / "cell" / repeat.DIFFERENCE).read_text()
