"""What was finished stays as it was, or is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import InfraError
from results.cli import main as matrix_main
from results.cli_results import main as results_main
from results.journal import JOURNAL
from results.matrix import build_matrix
from results.model import Verdict
from results.render import markdown
from results.seal import RESULT, SealState
from results.store import Run, create_run, latest_per_cell, results_of
from results.stored import observe
from tests.unit.results.builders import cell, execute, spec


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    return create_run([], root=tmp_path)


def finished(run: Run, letters: str = "p|p", **changes: Any) -> Path:
    """Return a result directory with evidence, as a worker leaves it."""
    return execute(run, letters, inputs=spec(), console="Linux version\n", **changes)


def test_a_finished_directory_is_sealed(run: Run) -> None:
    directory = finished(run)
    seal = json.loads((directory / RESULT).read_text())["seal"]
    assert sorted(seal["files"]) == ["console/dom0.log", "journal.jsonl", "run-spec.json"]
    stored = observe(directory)
    assert stored is not None
    assert (stored.seal, stored.faults, stored.result.status) == (SealState.SEALED, (), "yes")


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda d: (d / "console/dom0.log").write_text("Linux versiom\n"), "console/dom0.log: changed"),
        (lambda d: (d / "console/dom0.log").unlink(), "console/dom0.log: missing"),
        (lambda d: (d / "notes.txt").write_text("x"), "notes.txt: not there when it was finished"),
        (lambda d: (d / "screens").mkdir() or (d / "screens/1.png").write_text("x"), "screens/1.png: not there"),
        (lambda d: (d / JOURNAL).write_bytes(b""), "journal.jsonl: changed"),
        (lambda d: (d / "run-spec.json").write_text("{}"), "run-spec.json: changed"),
        (lambda d: _rewrite(d, message="all is well"), "result.json: changed"),
        (lambda d: _rewrite(d, seal={"files": {}, "digest": ""}), "result.json: changed"),
        (lambda d: _rewrite(d, seal=7), "its seal is damaged"),
        (
            lambda d: (d / "console/dom0.log").unlink() or (d / "console/dom0.log").symlink_to("/etc/hostname"),
            "console/dom0.log: changed",
        ),
    ],
)
def test_an_edit_is_found_and_the_cell_says_nothing_any_more(run: Run, edit: object, fault: str) -> None:
    directory = finished(run)
    edit(directory)  # type: ignore[operator]
    (stored,) = latest_per_cell()
    assert stored.edited
    assert any(fault in one for one in stored.faults), stored.faults
    assert (stored.result.verdict, stored.result.status) == ("infra", "untested")
    assert "edited after it was finished" in stored.result.message
    assert "it said yes (pass)" in stored.result.message


def _rewrite(directory: Path, **changes: object) -> None:
    path = directory / RESULT
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("trouble", [False, True])
def test_damaging_a_no_does_not_bring_an_older_yes_back(tmp_path: Path, trouble: bool) -> None:
    runs = []
    for number in range(3):
        made = create_run([], root=tmp_path)
        moved = made.directory.rename(made.directory.with_name(f"2026010{number + 1}T000000Z-000000"))
        runs.append(Run(moved.name, moved, made.started, (), {}))
    finished(runs[0])
    directory = finished(runs[1], "p|f")
    if trouble:
        finished(runs[2], "p|i")
    assert [one.result.status for one in latest_per_cell(root=tmp_path)] == ["no"]
    (directory / "console/dom0.log").write_text("x")
    assert [(one.result.status, one.edited) for one in latest_per_cell(root=tmp_path)] == [("untested", True)]


def test_the_matrix_says_edited_and_verify_ends_with_3(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    directory = finished(run)
    assert results_main(["verify"]) == 0
    assert "1 as they were when they were finished, 0 edited" in capsys.readouterr().out
    (directory / "console/dom0.log").write_text("x")
    assert matrix_main(["--format", "md"]) == 0
    printed = capsys.readouterr().out
    assert "untested (edited)" in printed
    assert "console/dom0.log: changed" in printed
    assert matrix_main(["--format", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["cells"]
    assert (one["status"], one["seal"], one["faults"]) == ("untested", "broken", ["console/dom0.log: changed"])
    assert results_main(["verify", "last"]) == 3
    assert f"edited: {directory}" in capsys.readouterr().out


def test_a_result_from_before_seals_counts_and_is_marked(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    directory = finished(run)
    data = json.loads((directory / RESULT).read_text())
    del data["seal"]
    (directory / RESULT).write_text(json.dumps(data))
    (stored,) = latest_per_cell()
    assert (stored.seal, stored.result.status) == (SealState.UNSEALED, "yes")
    assert "yes (unsealed)" in markdown(build_matrix([stored]))
    assert results_main(["verify"]) == 0
    assert "1 never sealed" in capsys.readouterr().out


@pytest.mark.parametrize("died", [True, False])
def test_no_byte_at_which_a_journal_is_cut_makes_a_yes(run: Run, died: bool) -> None:
    path = finished(run, "p|pp") / JOURNAL
    if died:
        (path.parent / RESULT).unlink()
    raw = path.read_bytes()
    for cut in range(len(raw)):
        path.write_bytes(raw[:cut])
        try:
            stored = observe(path.parent)
        except InfraError as error:
            assert "died before its cell began" in str(error)
            assert died
            continue
        assert stored is not None
        assert stored.result.status == "untested"
        assert "died" in stored.result.message if died else stored.edited


@settings(max_examples=15)
@given(st.integers(min_value=0), st.booleans(), st.sampled_from(["p|pp", "p|pf", "p|i"]))
def test_a_journal_cut_at_any_byte_still_gives_a_report_and_never_a_yes(cut: int, died: bool, letters: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        run = create_run([], root=Path(name))
        path = execute(run, letters, inputs=spec()) / JOURNAL
        raw = path.read_bytes()
        path.write_bytes(raw[: cut % len(raw)])
        if died:
            (path.parent / RESULT).unlink()
        notes: list[str] = []
        found = results_of(run, notes)
        matrix = build_matrix(found)
        report = markdown(matrix, notes)
        assert not any(one.result.status == "yes" or one.result.verdict is Verdict.PASS for one in found)
        assert all(matrix.cell("domu-boot", column).status != "yes" for column in matrix.columns)
        assert len(found) + len(notes) == 1
        assert cell().id in report


@settings(max_examples=25)
@given(st.binary(max_size=200), st.integers(min_value=0))
def test_rubbish_in_a_journal_never_makes_a_yes(rubbish: bytes, at: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        run = create_run([], root=Path(name))
        path = execute(run, "p|p", die=True) / JOURNAL
        raw = path.read_bytes()
        at %= len(raw)
        path.write_bytes(raw[:at] + rubbish + raw[at:])
        notes: list[str] = []
        found = results_of(run, notes)
        assert not any(one.result.status == "yes" for one in found)
        assert len(found) + len(notes) == 1
