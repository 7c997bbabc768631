"""What is known: the results of a run, what was seen last of each cell, and its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from results.history import Moment, moments
from results.index import Index, ask
from results.inputs import Inputs
from results.model import Verdict
from results.runs import RUN, Run, RunRecord, create_run, find_run, list_runs
from results.stored import Stored

__all__ = [
    "RUN",
    "Run",
    "RunRecord",
    "Stored",
    "cell_history",
    "create_run",
    "find_run",
    "known_verdicts",
    "latest_per_cell",
    "list_runs",
    "newest_of_all",
    "results_of",
]


def results_of(run: Run, notes: list[str] | None = None) -> list[Stored]:
    """Return the results of one run, by cell: of each its last attempt. Broken and running cells go to `notes`."""
    last = {stored.result.cell.id: stored for stored in _all_of(run, notes)}
    return [last[cell] for cell in sorted(last)]


def latest_per_cell(
    runs: Iterable[Run] | None = None, notes: list[str] | None = None, root: Path | None = None
) -> list[Stored]:
    """Return for each cell the newest result that says something about the product, by cell id.

    Trouble of ours and skips do not hide what an earlier run found; such a newer result goes to `notes`.
    If a cell has nothing else, its newest one is returned. A result that was edited does hide what is older:
    else a `no` could be made a `yes` by damaging it. Without `runs`, all runs count.
    """
    if runs is None:
        every = list_runs(notes, root)
        return ask(lambda index: newest_of_all(index, every, notes), root)
    return _chosen(_newest_first([stored for run in runs for stored in _all_of(run, notes)]), notes)


def newest_of_all(index: Index, every: Sequence[Run], notes: list[str] | None = None) -> list[Stored]:
    """Do what `latest_per_cell` does with an open index, `every` run being all that there are."""
    index.sync(every)
    found = index.latest()
    _note(notes, index.notes(every))
    return _chosen(found, notes)


def _chosen(groups: Iterable[Sequence[Stored]], notes: list[str] | None) -> list[Stored]:
    chosen = {group[0].result.cell.id: _choose(group, notes) for group in groups}
    return [chosen[cell] for cell in sorted(chosen)]


def cell_history(cell_id: str, notes: list[str] | None = None, root: Path | None = None) -> list[Moment]:
    """Return all results of a cell, oldest first, each with the inputs that changed since the one before it."""
    every = list_runs(notes, root)

    def question(index: Index) -> list[Stored]:
        index.sync(every)
        return index.of_cell(cell_id)

    return moments(ask(question, root))


def known_verdicts(cells: Iterable[str], root: Path | None = None) -> dict[str, list[tuple[Inputs, Verdict]]]:
    """Return for some cells the different pairs of inputs and raw verdict that their results had."""
    every = list_runs(root=root)

    def question(index: Index) -> dict[str, list[tuple[Inputs, Verdict]]]:
        index.sync(every)
        return {cell: index.verdicts(cell) for cell in cells}

    return ask(question, root)


def _all_of(run: Run, notes: list[str] | None) -> list[Stored]:
    def question(index: Index) -> list[Stored]:
        index.sync([run], all_runs=False)
        found = index.of_runs([run])
        _note(notes, index.notes([run]))
        return found

    return ask(question, _root(run))


def _root(run: Run) -> Path:
    return run.directory.parent.parent


def _newest_first(results: Sequence[Stored]) -> list[list[Stored]]:
    groups: dict[str, list[Stored]] = {}
    for stored in sorted(results, key=lambda one: (one.result.run, one.attempt), reverse=True):
        groups.setdefault(stored.result.cell.id, []).append(stored)
    return list(groups.values())


def _choose(newest_first: Sequence[Stored], notes: list[str] | None) -> Stored:
    newest = newest_first[0]
    for stored in newest_first:
        if stored.result.speaks or stored.edited:
            if stored is not newest:
                told = newest.result
                cell = told.cell.id
                _note(notes, [f"{cell}: run {told.run} is newer, but ended as {told.verdict}: {told.message}"])
            return stored
    return newest


def _note(notes: list[str] | None, lines: Iterable[str]) -> None:
    if notes is not None:
        notes.extend(lines)
