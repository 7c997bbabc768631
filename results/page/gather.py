"""From the store to what the page shows: the newest of each cell, and the executions before it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from results.features import Features, load_features
from results.matrix import build_matrix
from results.model import Result
from results.page.model import Entry, Past, Site
from results.store import Run, Stored, latest_per_cell, list_runs, results_of

# What a result was made from, besides its QEMU and firmware, by names of facts.
INPUTS = ("kernel", "gcc", "kernel.built.build-id", "image.qemu", "image.kernel", "image.initrd", "host.factor")
# Names that become folders of the page.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+@-]*")
HISTORY_MOST = 50


def gather(runs: Sequence[Run] | None = None, features: Features | None = None) -> Site:
    """Read the results of `runs` (default: all). Raises InfraError when the store cannot be read."""
    notes: list[str] = []
    known = list_runs(notes) if runs is None else sorted(runs, key=lambda run: run.id)
    newest = latest_per_cell(known, notes)
    history = _history(known)
    matrix = build_matrix(newest, features or load_features())
    entries = [
        Entry(stored, str(stored.result.facts.get("kernel") or ""), _past(history[stored.result.cell.id]))
        for stored in matrix.results
        if _is_safe(stored, notes)
    ]
    return Site(
        made=datetime.now(UTC),
        reference=matrix.reference,
        features=matrix.features,
        entries=tuple(entries),
        runs=tuple(run.id for run in known),
        notes=tuple(dict.fromkeys(notes)),
    )


def _is_safe(stored: Stored, notes: list[str]) -> bool:
    run, cell = stored.directory.parent.parent.name, stored.directory.name
    if _SAFE.fullmatch(run) and _SAFE.fullmatch(cell):
        return True
    notes.append(f"{stored.directory}: left out, its name cannot be a part of an address")
    return False


def _history(runs: Sequence[Run]) -> dict[str, list[Stored]]:
    """Return all executions of each cell, newest first."""
    found: defaultdict[str, list[Stored]] = defaultdict(list)
    for run in reversed(runs):
        for stored in results_of(run):
            found[stored.result.cell.id].append(stored)
    return found


def _past(executions: Sequence[Stored]) -> tuple[Past, ...]:
    shown = executions[:HISTORY_MOST]
    return tuple(
        Past(stored, differences(before.result, stored.result) if before else ())
        for stored, before in zip(shown, [*executions[1 : len(shown) + 1], None], strict=False)
    )


def differences(before: Result, after: Result) -> tuple[str, ...]:
    """Say which inputs of two results differ, as `kernel: 6.1.1 -> 6.1.2`; what one of them does not know is no change."""
    old, new = _inputs(before), _inputs(after)
    return tuple(f"{name}: {old[name]} -> {new[name]}" for name in old if name in new and old[name] != new[name])


def _inputs(result: Result) -> dict[str, str]:
    cell = result.cell
    found = {"qemu": cell.qemu, "firmware": cell.firmware}
    for name in INPUTS:
        if (value := result.facts.get(name)) is not None:
            found[name] = _short(str(value))
    return {name: value for name, value in found.items() if value}


def _short(text: str) -> str:
    return text[:12] if re.fullmatch(r"[0-9a-f]{24,}", text) else text
