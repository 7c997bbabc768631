"""How long the steps of a cell took in its last runs; progress displays compare with it."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from base.files import atomic_write
from base.paths import results_root
from results.model import Result, Verdict

KEPT = 5


def remember(directory: Path, result: Result) -> None:
    """Add the durations of the passed steps in `result`, and its own; the last KEPT of each are kept. Raises OSError.

    Only a directory inside a store (`ROOT/runs/RUN/cells/CELL`) has a place for them, others are left alone.
    """
    if directory.parent.name != "cells" or directory.parents[2].name != "runs":
        return
    path = _path(directory.parents[3], result.cell.id)
    known, whole = _read_file(path)
    if result.raw is not Verdict.INFRA:
        whole = [*whole, round(result.elapsed, 3)][-KEPT:]
    for step in result.steps:
        if step.verdict is Verdict.PASS:
            key = _key(step.index, step.verb)
            known[key] = [*known.get(key, []), round(step.elapsed, 3)][-KEPT:]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({"schema": 1, "steps": known, "whole": whole}) + "\n")


def history(cell_id: str, root: Path | None = None) -> dict[tuple[int, str], list[float]]:
    """Return the last durations in seconds (oldest first) of each step of a cell, keyed by (index, verb).

    Empty if the cell never ran here: knowing nothing is no error.
    """
    known = _read_file(_path(root or results_root(), cell_id))[0]
    return {(int(index), verb): values for key, values in known.items() for index, verb in [key.split(" ", 1)]}


def all_whole(root: Path | None = None) -> dict[str, float]:
    """Return how long each cell is expected to take as a whole, in seconds, by its id, however it ended before."""
    found = {}
    for path in sorted((root or results_root()).glob("timings/*.json")):
        whole = expected(_read_file(path)[1])
        if whole is not None:
            found[path.stem] = whole
    return found


def expected(durations: list[float] | None) -> float | None:
    """Return the duration to expect in seconds, None if there is none to learn from."""
    return median(durations) if durations else None


def _key(index: int, verb: str) -> str:
    return f"{index} {verb}"


def _path(root: Path, cell_id: str) -> Path:
    return root / "timings" / f"{cell_id}.json"


def _read_file(path: Path) -> tuple[dict[str, list[float]], list[float]]:
    """Return the durations by step, and those of the whole cell."""
    try:
        content = json.loads(path.read_bytes())
        steps = {str(key): [float(value) for value in values] for key, values in content["steps"].items() if " " in key}
        return steps, [float(value) for value in content.get("whole", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A convenience that is lost or damaged starts anew; the results themselves are elsewhere.
        return {}, []
