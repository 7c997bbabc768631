from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InfraError
from results.entries import StepEnd
from results.journal import JOURNAL, Journal, is_running, load_result, read_journal
from results.model import StepPlan, Verdict
from results.seal import RESULT
from results.store import Run, create_run
from tests.unit.results.builders import cell, execute, result

PLAN = [StepPlan(section="prepare", verb="boot", title="boot dom0"), StepPlan(section="feature", verb="ping")]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(["testbed", "run"], root=tmp_path)


def test_what_was_written_is_read(run: Run) -> None:
    directory = execute(run, "p|pf")
    loaded = load_result(directory)
    assert loaded.verdict is Verdict.FAIL
    assert loaded == result("p|pf", run=run.id)
    kinds = [entry.kind for entry in read_journal(directory)]
    assert kinds == ["cell-start", *["step-start", "step-end"] * 3, "cell-end"]
    assert [entry.index for entry in read_journal(directory) if isinstance(entry, StepEnd)] == [0, 1, 2]


def test_every_line_names_its_schema_and_time(run: Run) -> None:
    lines = [json.loads(line) for line in (execute(run, "p|p") / JOURNAL).read_text().splitlines()]
    assert all(line["schema"] == 1 and line["t"] >= 0 and line["wall"].endswith("+00:00") for line in lines)
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


def test_each_entry_is_on_disk_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.note("first")
        assert len(read_journal(tmp_path)) == 1
        journal.fact("kernel", "6.1.0")
        assert len(read_journal(tmp_path)) == 2


@given(st.integers(min_value=1))
def test_a_journal_torn_anywhere_is_read_up_to_there(cut: int) -> None:
    # tmp_path would be shared by all examples.
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        directory = execute(create_run([], root=Path(name)), "p|ptf")
        whole = read_journal(directory)
        raw = (directory / JOURNAL).read_bytes()
        (directory / JOURNAL).write_bytes(raw[: -(cut % len(raw))])
        kept = read_journal(directory)
        assert kept == whole[: len(kept)]


def test_a_last_line_of_rubbish_is_left_out_but_not_one_before(run: Run) -> None:
    path = execute(run, "p|p") / JOURNAL
    raw = path.read_bytes()
    path.write_bytes(raw + b"\0\0\0\n")
    assert len(read_journal(path.parent)) == 6
    path.write_bytes(b"\0\0\0\n" + raw)
    with pytest.raises(InfraError, match=r"journal\.jsonl:1: damaged"):
        read_journal(path.parent)


@pytest.mark.parametrize(
    ("begun", "ended", "says"),
    [
        (0, 0, "the run died before the first of 2 steps"),
        (1, 0, "the run died during step 1 of 2, boot dom0"),
        (1, 1, "the run died after step 1 of 2, boot dom0"),
        (2, 1, "the run died during step 2 of 2, ping"),
    ],
)
def test_a_run_that_died_is_told_from_its_journal(tmp_path: Path, begun: int, ended: int, says: str) -> None:
    with Journal(tmp_path) as journal:
        journal.cell_start("r1", cell(), PLAN)
        journal.fact("kernel", "6.1.0")
        for index in range(begun):
            journal.step_start(index, PLAN[index].section, PLAN[index].verb, PLAN[index].title)
            if index < ended:
                journal.step_end(index, Verdict.PASS, 1.5, data={"answer": 42})
    died = load_result(tmp_path)
    assert (died.verdict, died.status, died.message) == ("infra", "untested", says)
    assert (died.run, died.cell, died.declared, died.facts) == ("r1", cell(), 2, {"kernel": "6.1.0"})
    assert len(died.steps) == ended


def test_a_run_that_died_at_the_very_end_says_what_it_found(run: Run) -> None:
    directory = execute(run, "p|f")
    (directory / RESULT).unlink()
    assert load_result(directory).message == "the run died while it wrote its result (fail)"


def test_a_running_cell_is_not_dead(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with Journal(tmp_path) as journal:
        journal.cell_start("r1", cell(), PLAN)
        assert is_running(tmp_path)
        assert "is still running" in load_result(tmp_path).message
    assert not is_running(tmp_path)


def test_a_directory_is_used_once(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with pytest.raises(InfraError, match="has a journal already"):
        Journal(tmp_path)


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.finish(result("|p"))
    with pytest.raises(InfraError, match="came too late"):
        journal.note("late")


def test_odd_text_from_a_console_is_kept(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.note("nul \0, newline \n, é, lone surrogate \udc80")
    assert len(read_journal(tmp_path)) == 1


@pytest.mark.parametrize("name", [JOURNAL, RESULT])
def test_a_newer_schema_is_named_with_what_to_do(run: Run, name: str) -> None:
    directory = execute(run, "p|p", die=name == JOURNAL)
    path = directory / name
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(InfraError, match="schema 2") as caught:
        load_result(directory)
    assert caught.value.hint is not None
    assert "git pull" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '"x"'])
def test_a_damaged_result_is_an_error_of_ours(run: Run, content: str) -> None:
    directory = execute(run, "p|p")
    (directory / RESULT).write_text(content)
    with pytest.raises(InfraError, match="damaged"):
        load_result(directory)


def test_an_empty_directory_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="cannot read"):
        load_result(tmp_path)
    Journal(tmp_path).close()
    with pytest.raises(InfraError, match="died before its cell began"):
        load_result(tmp_path)
