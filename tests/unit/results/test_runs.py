from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from base.errors import InfraError, UsageError
from base.files import atomic_write
from results.store import Run, create_run, find_run, latest_per_cell, list_runs, results_of
from results.timings import KEPT, expected, history
from tests.unit.results.builders import cell, execute


def run_at(root: Path, stamp: str) -> Run:
    """Return a new run as if it had been made at `stamp`; names, not clocks, give the order."""
    made = create_run(["testbed", "run"], {"host": "h"}, root)
    moved = made.directory.with_name(f"{stamp}-000000")
    made.directory.rename(moved)
    return Run(moved.name, moved, made.started, made.command, made.facts)


def test_runs_never_meet(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_run([], root=tmp_path), range(40)))
    assert len({run.id for run in made}) == 40
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run.id) for run in made)


def test_a_run_is_read_as_it_was_made(tmp_path: Path) -> None:
    made = create_run(["testbed", "run", "-n", "2"], {"cpus": 2}, tmp_path)
    assert list_runs(root=tmp_path) == [made]


def test_a_cell_directory_is_given_once(tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    assert run.cell_directory(cell()).is_dir()
    with pytest.raises(InfraError, match="already"):
        run.cell_directory(cell())


def test_the_newest_result_of_each_cell_counts(tmp_path: Path) -> None:
    old, new = run_at(tmp_path, "20260101T000000Z"), run_at(tmp_path, "20260201T000000Z")
    execute(old, "p|p")
    execute(old, "p|f", kernel="fixed")
    execute(new, "p|pf")
    found = {stored.result.cell.kernel: stored for stored in latest_per_cell(root=tmp_path)}
    assert found["stock"].result.status == "close"
    assert found["stock"].directory.is_relative_to(new.directory)
    assert found["fixed"].result.status == "no"


def test_trouble_of_ours_does_not_hide_what_was_found(tmp_path: Path) -> None:
    old, new = run_at(tmp_path, "20260101T000000Z"), run_at(tmp_path, "20260201T000000Z")
    execute(old, "p|p")
    execute(new, "p|i")
    notes: list[str] = []
    (found,) = latest_per_cell(notes=notes, root=tmp_path)
    assert found.result.status == "yes"
    assert len(notes) == 1
    assert "is newer, but ended as infra" in notes[0]
    assert latest_per_cell([new])[0].result.status == "untested"


def test_what_is_broken_becomes_a_note(tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    execute(run, "p|p")
    (run.directory / "cells" / "half").mkdir()
    (tmp_path / "runs" / "stray").mkdir()
    damaged = create_run([], root=tmp_path)
    (damaged.directory / "run.json").write_text("{")
    notes: list[str] = []
    assert [stored.result.status for stored in latest_per_cell(notes=notes, root=tmp_path)] == ["yes"]
    assert len(notes) == 3
    assert any("stray" in note for note in notes)


def test_a_cell_that_runs_is_not_shown_as_dead(tmp_path: Path) -> None:
    from results.journal import Journal

    run = create_run([], root=tmp_path)
    with Journal(run.cell_directory(cell())) as journal:
        journal.cell_start(run.id, cell(), [])
        notes: list[str] = []
        assert results_of(run, notes) == []
        assert "still running" in notes[0]


def test_a_run_is_found_by_a_part_of_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results yet"):
        find_run("last", tmp_path)
    first, second = run_at(tmp_path, "20260101T000000Z"), run_at(tmp_path, "20260201T000000Z")
    assert find_run("202601", tmp_path).id == first.id
    assert find_run("last", tmp_path).id == second.id
    with pytest.raises(UsageError, match="begins 2 runs"):
        find_run("2026", tmp_path)
    with pytest.raises(UsageError, match="no run"):
        find_run("2027", tmp_path)


def test_evidence_is_the_console_that_spoke_last(tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    directory = execute(run, "p|f")
    (stored,) = results_of(run)
    assert stored.evidence == directory
    (directory / "console").mkdir()
    for age, domain in enumerate(["domu", "dom0"]):
        path = directory / "console" / f"{domain}.log"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert stored.evidence.name == "domu.log"


def test_the_last_durations_of_passed_steps_are_remembered(tmp_path: Path) -> None:
    assert history(cell().id, tmp_path) == {}
    for _ in range(KEPT + 2):
        execute(create_run([], root=tmp_path), "p|pf")
    known = history(cell().id, tmp_path)
    assert known == {(0, "verb0"): [1.0] * KEPT, (1, "verb1"): [2.0] * KEPT}
    assert expected(known[1, "verb1"]) == 2.0
    assert expected(known.get((9, "x"))) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"steps": 1}', '{"steps": {"0 a": 1}}', '{"steps": {"x": [1]}}'])
def test_damaged_timings_start_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "timings").mkdir()
    atomic_write(tmp_path / "timings" / f"{cell().id}.json", content)
    assert history(cell().id, tmp_path) == {}
    execute(create_run([], root=tmp_path), "p|p")
    assert len(history(cell().id, tmp_path)) == 2
