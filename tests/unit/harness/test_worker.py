"""A cell's verdict, whatever happens to it. dom0's shell is a real one, of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec, read_spec
from harness.worker import leave_out, run_cell
from results.journal import load_result, read_journal
from results.model import Result

Make = Callable[..., RunSpec]
BOOT = "prepare: [boot-dom0]\nsteps:\n"


def _run(spec: RunSpec, folder: Path) -> Result:
    directory = folder / "cell"
    directory.mkdir()
    return run_cell(spec, directory)


@pytest.mark.parametrize(
    ("steps", "behaviour", "verdict", "status", "message"),
    [
        ("  - answers: dom0\n", "boot", "pass", "yes", ""),
        ("  - run: {domain: dom0, command: exit 3, status: 3}\n", "boot", "pass", "yes", ""),
        ("  - run: {domain: dom0, command: 'false'}\n", "boot", "fail", "no", "`false` ended with 1, not 0"),
        (
            "  - answers: dom0\n  - run: {domain: dom0, command: echo 7, prints: '8'}\n",
            "boot",
            "fail",
            "close",
            "printed nothing that matches /8/, but: 7",
        ),
        ("  - console-showed: {domain: dom0, text: Linux version f.ke}\n", "boot", "pass", "yes", ""),
        (
            "  - console-showed: {domain: dom0, text: GRUB}\n",
            "boot",
            "fail",
            "no",
            "has shown nothing that matches /GRUB/",
        ),
        ("  - boots: u1\n", "boot", "fail", "no", "u1 was not created"),
        ("  - same-kernel: dom0\n", "boot", "fail", "no", "but built was 6.1.0-fixed (00)"),
        ("  - run: {domain: dom0, command: sleep 60, within: 0.2}\n", "boot", "timeout", "no", "`sleep 60`"),
        ("  - answers: dom0\n", "panic", "fail", "no", "Kernel panic - not syncing: as asked"),
        ("  - answers: dom0\n", "refuse", "infra", "untested", "QEMU did not start (exit code 1)"),
        # The parent of the channel's shell is the fake QEMU.
        ("  - run: {domain: dom0, command: 'kill -9 $PPID; sleep 9'}\n", "boot", "infra", "untested", "SIGKILL"),
        ("  - run: {domain: dom0, command: sleep 9}\n", "abort", "fail", "no", "QEMU crashed with SIGABRT"),
    ],
)
def test_verdicts(
    steps: str, behaviour: str, verdict: str, status: str, message: str, make_fake_cell: Make, tmp_path: Path
) -> None:
    result = _run(make_fake_cell(BOOT + steps, behaviour), tmp_path)
    assert (result.raw, result.status) == (verdict, status), result.message
    assert message in result.message


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.deadline.LEAST_IDLE", 0.5)


def test_an_error_of_ours_is_never_the_products(
    make_fake_cell: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("sim.shell.Shell.challenge", broken)
    result = _run(make_fake_cell("steps: [boot-dom0]\n"), tmp_path)
    assert (result.raw, result.status) == ("infra", "untested")
    assert "ZeroDivisionError: a bug" in result.message
    assert "in broken" in (tmp_path / "cell/traceback.txt").read_text()


def test_the_result_directory_tells_all(make_fake_cell: Make, tmp_path: Path) -> None:
    spec = make_fake_cell(BOOT + "  - run: {domain: dom0, command: echo hello}\n")
    result = _run(spec, tmp_path)
    directory = tmp_path / "cell"
    assert load_result(directory) == result
    assert read_spec(directory / "run-spec.json") == spec
    assert result.facts["qemu"] == "10.0.13"
    assert [step.verb for step in result.steps] == ["boot-dom0", "run"]
    kinds = [json.loads(line)["kind"] for line in (directory / "journal.jsonl").read_text().splitlines()]
    assert kinds[0] == "cell-start"
    assert kinds[-1] == "cell-end"
    assert kinds.count("step-end") == 2
    assert (directory / "console/dom0.log").stat().st_size > 0


def test_a_failure_keeps_registers_and_last_lines(make_fake_cell: Make, tmp_path: Path) -> None:
    _run(make_fake_cell(BOOT + "  - run: {domain: dom0, command: 'false'}\n"), tmp_path)
    assert "fake registers" in (tmp_path / "cell/autopsy.txt").read_text()
    notes = [entry.text for entry in read_journal(tmp_path / "cell") if entry.kind == "note"]
    assert any("Linux version fake" in note for note in notes)


def test_a_person_s_dialogue(make_fake_cell: Make, tmp_path: Path) -> None:
    steps = "  - dialogue: {domain: dom0, lines: [{send: 'abc'}, {expect: 'got: abc'}]}\n"
    result = _run(make_fake_cell(BOOT + steps, "echo-console"), tmp_path)
    assert result.raw == "pass", result.message
    steps = "  - dialogue: {domain: dom0, within: 0.3, lines: [{expect: 'never'}]}\n"
    (tmp_path / "second").mkdir()
    result = _run(make_fake_cell(BOOT + steps, "echo-console"), tmp_path / "second")
    assert result.raw == "timeout"


def test_a_checklist_goes_on_after_a_step_that_failed(make_fake_cell: Make, tmp_path: Path) -> None:
    steps = "  - run: {domain: dom0, command: 'false'}\n  - answers: dom0\n"
    result = _run(make_fake_cell("checklist: true\n" + BOOT + steps), tmp_path)
    assert [str(step.verdict) for step in result.steps] == ["pass", "fail", "pass"]
    assert (result.raw, result.status) == ("fail", "close")
    (tmp_path / "second").mkdir()
    result = _run(make_fake_cell(BOOT + steps), tmp_path / "second")
    assert [str(step.verdict) for step in result.steps] == ["pass", "fail"]


def test_a_checklist_ends_when_dom0_is_gone(make_fake_cell: Make, tmp_path: Path) -> None:
    steps = "  - run: {domain: dom0, command: sleep 9}\n  - answers: dom0\n"
    result = _run(make_fake_cell("checklist: true\n" + BOOT + steps, "abort"), tmp_path)
    assert [str(step.verdict) for step in result.steps] == ["pass", "fail"]
    assert result.status == "no"


def test_a_cell_that_makes_no_sense_is_not_applicable(make_fake_cell: Make, tmp_path: Path) -> None:
    directory = tmp_path / "cell"
    directory.mkdir()
    leave_out("test", make_fake_cell(BOOT + "  - answers: dom0\n").cell, "one CPU only", directory)
    result = load_result(directory)
    assert (result.verdict, result.status, result.message) == ("skip", "n/a", "one CPU only")
