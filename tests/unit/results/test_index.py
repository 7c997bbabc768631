"""The index says what the directories say, however it came to be."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.database import FILE, LOCK
from results.index import Index, ask
from results.journal import JOURNAL, Journal
from results.seal import RESULT
from results.store import Run, Stored, cell_history, create_run, latest_per_cell, list_runs, results_of
from results.stored import observe
from tests.unit.results.builders import cell, execute, spec

KERNELS = ("stock", "fixed")
ACTIONS = st.one_of(
    st.tuples(st.just("run"), st.none(), st.none()),
    st.tuples(st.just("execute"), st.sampled_from(KERNELS), st.sampled_from(["p|p", "p|f", "p|i", "p|pf", "s"])),
    st.tuples(st.just("die"), st.sampled_from(KERNELS), st.just("p|p")),
    st.tuples(st.sampled_from(["edit", "remove", "damage", "log"]), st.sampled_from(KERNELS), st.integers(0, 3)),
    st.tuples(st.just("forget"), st.none(), st.integers(0, 3)),
    st.tuples(st.just("ask"), st.none(), st.none()),
)


def content(root: Path) -> list[tuple[object, ...]]:
    """What the index knows once it has been asked for everything."""

    def question(index: Index) -> list[tuple[object, ...]]:
        runs = list_runs(root=root)
        index.sync(runs)
        index.of_runs(runs)
        return index.content()

    return ask(question, root)


def rebuilt(root: Path) -> list[tuple[object, ...]]:
    (root / FILE).unlink(missing_ok=True)
    return content(root)


def oracle(root: Path) -> dict[str, Stored]:
    """The newest result of each cell that weighs, read without any index."""
    chosen: dict[str, Stored] = {}
    for run in reversed(list_runs(root=root)):
        for directory in reversed(run.cell_directories()):
            try:
                stored = observe(directory)
            except Exception:
                continue
            if stored is None:
                continue
            weighs = stored.result.speaks or stored.edited
            there = chosen.get(stored.result.cell.id)
            if there is None or (weighs and not (there.result.speaks or there.edited)):
                chosen[stored.result.cell.id] = stored
    return chosen


def act(root: Path, action: tuple[str, str | None, object]) -> None:
    name, kernel, more = action
    runs = list_runs(root=root)
    if name == "run" or not runs:
        create_run([], root=root)
    elif name == "ask":
        latest_per_cell(root=root)
    elif name == "forget":
        shutil.rmtree(runs[int(str(more)) % len(runs)].directory)
    elif name in ("execute", "die"):
        directory = runs[-1].directory / "cells" / cell(kernel=kernel).id
        if not directory.exists():
            execute(runs[-1], str(more), die=name == "die", kernel=kernel, inputs=spec(f"k{len(runs)}"))
    else:
        directory = runs[int(str(more)) % len(runs)].directory / "cells" / cell(kernel=kernel).id
        if not directory.exists():
            return
        if name == "remove":
            shutil.rmtree(directory)
        elif name == "damage":
            (directory / JOURNAL).write_bytes(b"\0\n\0\n")
            (directory / RESULT).unlink(missing_ok=True)
        elif name == "log":
            (directory / "console").mkdir(exist_ok=True)
            (directory / "console/dom0.log").write_text("added")
        elif (directory / RESULT).exists():
            path = directory / RESULT
            path.write_text(path.read_text().replace('"elapsed": 3.5', '"elapsed": 4.5'))


@settings(max_examples=40)
@given(st.lists(ACTIONS, max_size=14))
def test_an_index_that_grew_equals_one_made_anew_and_both_say_what_the_directories_say(
    actions: list[tuple[str, str | None, object]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for action in actions:
            act(root, action)
        said = {stored.result.cell.id: stored for stored in latest_per_cell(root=root)}
        assert said == oracle(root)
        grown = content(root)
        assert grown == rebuilt(root)
        assert {stored.result.cell.id: stored for stored in latest_per_cell(root=root)} == said


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run([], root=tmp_path)


def test_a_result_that_was_added_is_noticed(run: Run, tmp_path: Path) -> None:
    assert latest_per_cell(root=tmp_path) == []
    execute(run, "p|p")
    execute(run, "p|f", kernel="fixed")
    assert [one.result.status for one in latest_per_cell(root=tmp_path)] == ["no", "yes"]


def test_a_result_that_was_removed_is_noticed(run: Run, tmp_path: Path) -> None:
    directory = execute(run, "p|p")
    assert len(latest_per_cell(root=tmp_path)) == 1
    shutil.rmtree(directory)
    assert latest_per_cell(root=tmp_path) == []
    execute(run, "p|f")
    shutil.rmtree(run.directory)
    assert latest_per_cell(root=tmp_path) == []


def test_a_change_of_the_same_length_at_the_same_moment_is_noticed(run: Run, tmp_path: Path) -> None:
    path = execute(run, "p|p") / JOURNAL
    assert [one.edited for one in latest_per_cell(root=tmp_path)] == [False]
    with path.open("r+b") as stream:
        stream.write(b"!")
    assert [one.edited for one in latest_per_cell(root=tmp_path)] == [True]


def test_a_clock_that_stands_still_hides_no_change(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a coarse clock makes of two changes within a tick: the same times, the same size.
    monkeypatch.setattr("results.index.stamp", lambda _: ("the same", time.time_ns()))
    path = execute(run, "p|p") / JOURNAL
    assert [one.edited for one in latest_per_cell(root=tmp_path)] == [False]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert [one.edited for one in latest_per_cell(root=tmp_path)] == [True]


def test_what_was_settled_is_not_read_again_until_it_changes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.index.MARGIN", -(10**12))  # as if all that were long ago
    directory = execute(run, "p|p")
    assert len(latest_per_cell(root=tmp_path)) == 1
    seen: list[Path] = []

    def spy(path: Path) -> Stored | None:
        seen.append(path)
        return observe(path)

    monkeypatch.setattr("results.index.observe", spy)
    assert len(latest_per_cell(root=tmp_path)) == 1
    assert seen == []
    os.utime(directory / JOURNAL, (1, 1))
    assert len(latest_per_cell(root=tmp_path)) == 1
    assert seen == [directory]


@pytest.mark.parametrize("margin", [2 * 10**9, -(10**12)])  # as it is, and as if all that were long ago
def test_a_cell_that_ends_meanwhile_is_noticed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, margin: int
) -> None:
    monkeypatch.setattr("results.index.MARGIN", margin)
    with Journal(run.cell_directory(cell())) as journal:
        journal.cell_start(run.id, cell(), [])
        notes: list[str] = []
        assert latest_per_cell(notes=notes, root=tmp_path) == []
        assert "still running" in notes[0]
    (died,) = latest_per_cell(root=tmp_path)
    assert (died.result.verdict, died.result.message) == ("infra", "the run died before the first of 0 steps")


def test_the_note_of_a_directory_goes_with_it(run: Run, tmp_path: Path) -> None:
    directory = execute(run, "p|p", die=True)
    (directory / JOURNAL).unlink()
    notes: list[str] = []
    assert latest_per_cell(notes=notes, root=tmp_path) == []
    assert "cannot read" in notes.pop()
    shutil.rmtree(directory)
    assert latest_per_cell(notes=notes, root=tmp_path) == []
    assert notes == []


def test_a_second_attempt_counts_and_the_first_stays(run: Run, tmp_path: Path) -> None:
    execute(run, "p|i")
    second = execute(run, "p|p", attempt=2)
    assert second.name == f"{cell().id}@2"
    for found in (results_of(run), latest_per_cell(root=tmp_path)):
        assert [(one.result.status, one.retried) for one in found] == [("yes", True)]
    assert [moment.stored.result.verdict for moment in cell_history(cell().id, root=tmp_path)] == ["infra", "pass"]


def test_a_folder_with_the_name_of_another_cell_is_no_result(run: Run, tmp_path: Path) -> None:
    directory = execute(run, "p|p")
    directory.rename(directory.with_name("domu-boot.g5.kvm-pr.fixed"))
    notes: list[str] = []
    assert latest_per_cell(notes=notes, root=tmp_path) == []
    assert "in a folder of another name" in notes[0]


@pytest.mark.parametrize("damage", ["text", "empty", "middle", "schema", "table"])
def test_a_damaged_or_foreign_index_is_made_anew(run: Run, tmp_path: Path, damage: str) -> None:
    for number in range(40):
        execute(run, "p|p", scenario=f"s{number}")
    whole = content(tmp_path)
    path = tmp_path / FILE
    if damage == "text":
        path.write_text("this is no database, but longer than the header of one is " * 20)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "middle":
        raw = bytearray(path.read_bytes())
        raw[4096 * 2 :] = os.urandom(len(raw) - 4096 * 2)
        path.write_bytes(raw)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99" if damage == "schema" else "DROP TABLE results")
            if damage == "table":
                connection.execute("PRAGMA user_version = 0")
        connection.close()
    assert content(tmp_path) == whole
    assert content(tmp_path) == rebuilt(tmp_path)


def test_where_no_index_can_be_written_one_in_memory_answers(run: Run, tmp_path: Path) -> None:
    execute(run, "p|p")
    (tmp_path / LOCK).mkdir()  # as good as a folder that is read-only, also for root
    assert [one.result.status for one in latest_per_cell(root=tmp_path)] == ["yes"]
    assert not (tmp_path / FILE).exists()


def test_asking_makes_no_folder(tmp_path: Path) -> None:
    assert latest_per_cell(root=tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def _work(root: str, worker: int) -> None:
    run = next(one for one in list_runs(root=Path(root)) if one.facts.get("worker") == worker % 2)
    for number in range(8):
        execute(run, "p|p", scenario=f"s{worker}-{number}")
        there = {one.result.cell.scenario for one in results_of(run)}
        # Whatever others write at the same time: what is finished is there.
        assert {f"s{worker}-{done}" for done in range(number + 1)} <= there
        latest_per_cell(root=Path(root))


@pytest.fixture
def _processes() -> Iterator[None]:
    yield
    for child in multiprocessing.active_children():
        child.kill()


@pytest.mark.usefixtures("_processes")
def test_workers_of_two_runs_write_and_read_at_once(tmp_path: Path) -> None:
    for number in range(2):
        create_run([], {"worker": number}, tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(latest_per_cell(root=tmp_path)) == 32
    grown = content(tmp_path)
    assert grown == rebuilt(tmp_path)


def test_rows_are_as_the_files_say(run: Run, tmp_path: Path) -> None:
    directory = execute(run, "p|pf", inputs=spec("k" * 40))
    latest_per_cell(root=tmp_path)
    (one,) = latest_per_cell(root=tmp_path)
    assert one == observe(directory)
    assert one.load() == one.load()
    assert json.loads((directory / RESULT).read_text())["status"] == one.result.status
    assert one.inputs["kernel.image"] == "k" * 40
