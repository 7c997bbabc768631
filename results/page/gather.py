"""From the store to what the page shows: the newest of each cell, and the executions before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from base.paths import results_root
from results.features import Features, load_features
from results.history import moments
from results.index import Index, ask
from results.inputs import Today
from results.matrix import build_matrix
from results.page.model import Entry, Past, Site
from results.stale import judge_staleness
from results.store import Run, Stored, latest_per_cell, list_runs, newest_of_all

# Names that become folders of the page.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+@-]*")
HISTORY_MOST = 50
Histories = Mapping[str, tuple[Past, ...]]


def gather(
    runs: Sequence[Run] | None = None,
    *,
    today: Callable[[], Today] | None = None,
    expiry: float | None = None,
    features: Features | None = None,
    root: Path | None = None,
) -> Site:
    """Read the results of `runs` (default: all).

    `today` tells what today's plan would use (None: only age makes a result stale), `expiry` after how many days one
    is stale. Raises InfraError when the store cannot be read, UsageError for an `expiry` that is none.
    """
    notes: list[str] = []
    newest, past, known = _read_all(notes, root) if runs is None else _read_some(runs, notes, root)
    judged = judge_staleness(newest, today() if today and newest else None, days=expiry)
    matrix = build_matrix(judged, features or load_features())
    shown = [stored for stored in matrix.results if _is_safe(stored, notes)]
    return Site(
        made=datetime.now(UTC),
        reference=matrix.reference,
        features=matrix.features,
        entries=tuple(Entry(stored, past.get(stored.result.cell.id, ())) for stored in shown),
        runs=tuple(run.id for run in known),
        notes=tuple(dict.fromkeys(notes)),
    )


def _is_safe(stored: Stored, notes: list[str]) -> bool:
    if _SAFE.fullmatch(stored.result.run) and _SAFE.fullmatch(stored.directory.name):
        return True
    notes.append(f"{stored.directory}: left out, its name cannot be a part of an address")
    return False


def _read_all(notes: list[str], root: Path | None) -> tuple[list[Stored], Histories, list[Run]]:
    """Return the newest of each cell, the executions of each, newest first, and the runs that they are from."""
    every = list_runs(notes, root)

    def question(index: Index) -> tuple[list[Stored], Histories]:
        # In one session of the index, which compares a result with the disk once.
        newest = newest_of_all(index, every, notes)
        return newest, _histories(index, newest, every)

    return *ask(question, root or results_root()), every


def _read_some(
    runs: Sequence[Run], notes: list[str], root: Path | None
) -> tuple[list[Stored], Histories, Sequence[Run]]:
    """Do the same for some runs, as if there were no others."""
    newest = latest_per_cell(runs, notes, root)

    def question(index: Index) -> Histories:
        index.sync(list_runs(root=root))
        return _histories(index, newest, runs)

    return newest, ask(question, root or results_root()), sorted(runs, key=lambda run: run.id)


def _histories(index: Index, newest: Sequence[Stored], runs: Sequence[Run]) -> Histories:
    wanted = {run.id for run in runs}
    found = {}
    for cell in (stored.result.cell.id for stored in newest):
        all_of = moments([one for one in index.of_cell(cell) if one.result.run in wanted])
        found[cell] = tuple(
            Past(moment.stored, tuple(map(str, moment.changes))) for moment in reversed(all_of[-HISTORY_MOST:])
        )
    return found
