"""What a user names as a side of a comparison: a run, a baseline, a file of `matrix --format json`, a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from base.errors import TestbedError, UsageError
from base.yamlmodel import suggest
from results.baselines import find_baseline, list_baselines
from results.compare import Outcome, Side
from results.model import Record, Status, Verdict
from results.runs import RUN, Run, find_run, list_runs, read_run
from results.shards import Shard, missing
from results.store import results_of
from results.stored import Stored, observe

HINT = "a run (its id, a beginning of it, `last`), a baseline, a JSON file of `run --json`, or a folder of results"


class _Cell(Record):
    """A cell as `matrix --format json` has it; what older versions did not write may be missing."""

    id: str
    verdict: Verdict
    raw: Verdict | None = None
    status: Status
    message: str = ""
    run: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    evidence: str = ""
    retried: bool = False
    elapsed: float = 0.0
    started: str = ""


class _File(Record):
    cells: tuple[_Cell, ...]
    shards: tuple[Shard, ...] = ()


def load_side(name: str, root: Path | None = None) -> Side:
    """Return the results that `name` stands for. Raises UsageError if there are none, or they cannot be read.

    A folder may hold one run, several (the shards of a CI job), result directories, or JSON files: a cell that is
    there twice counts by its newest result.
    """
    path = Path(name)
    if path.suffix == ".json" or "/" in name:
        if path.is_dir():
            return _folder(name, path)
        if path.is_file():
            return _files(name, [path])
        raise UsageError(f"cannot compare with {name}: it does not exist", hint=HINT)
    run = find_baseline(name, root)
    if run is None:
        run = _find(name, root)
    return side_of_run(run, name if name == run.id else f"{name} ({run.id})")


def side_of_run(run: Run, name: str = "") -> Side:
    """Return the results of a run in the store as a side."""
    notes: list[str] = []
    stored = results_of(run, notes)
    return _side(name or run.id, stored, [*notes, *missing([shard] if (shard := Shard.of(run.facts)) else [])])


def _find(name: str, root: Path | None) -> Run:
    try:
        return find_run(name, root)
    except UsageError as error:
        known = list(list_baselines(root))
        near = suggest(name, known) if known else ""
        raise UsageError(
            f"'{name}' is neither a run nor a baseline{near}" if "begins" not in error.message else error.message,
            hint=f"{HINT}; `./testbed baseline NAME RUN` makes a baseline"
            if "begins" not in error.message
            else error.hint,
        ) from error


def _folder(name: str, folder: Path) -> Side:
    runs = [read_folder(path.parent) for path in sorted(folder.rglob(RUN))]
    if runs:
        notes: list[str] = []
        stored = [one for run in runs for one in observe_run(run, notes)]
        shards = [shard for run in runs if (shard := Shard.of(run.facts))]
        return _side(name, stored, [*notes, *missing(shards)])
    directories = sorted(path.parent for path in folder.rglob("journal.jsonl"))
    if directories:
        notes = []
        return _side(name, _observe(directories, notes), notes)
    if files := sorted(folder.rglob("*.json")):
        return _files(name, files)
    raise UsageError(f"{folder} has no results", hint=HINT)


def read_folder(directory: Path) -> Run:
    """Return the run in a folder that is in no store. Raises UsageError."""
    try:
        return read_run(directory)
    except (OSError, ValidationError) as error:
        raise UsageError(f"cannot read the run {directory}: {error}", hint=HINT) from error


def observe_run(run: Run, notes: list[str]) -> list[Stored]:
    """Return the results of a run in any folder, read without an index."""
    return _observe(run.cell_directories(), notes)


def _observe(directories: Iterable[Path], notes: list[str]) -> list[Stored]:
    found: list[Stored] = []
    for directory in directories:
        try:
            stored = observe(directory)
        except TestbedError as error:
            notes.append(f"{directory}: {error}")
            continue
        if stored is None:
            notes.append(f"{directory} is still running")
        else:
            found.append(stored)
    return found


def _side(name: str, stored: Sequence[Stored], notes: Sequence[str]) -> Side:
    outcomes: dict[str, Outcome] = {}
    for one in sorted(stored, key=lambda one: (one.result.run, one.attempt)):
        result = one.result
        outcomes[result.cell.id] = Outcome(
            cell=result.cell.id,
            verdict=result.verdict,
            raw=result.raw,
            status=result.status,
            message=result.message,
            run=result.run,
            inputs=one.inputs,
            evidence=str(one.directory),
            retried=one.retried,
            elapsed=result.elapsed,
        )
    return Side(name, outcomes, tuple(notes))


def _files(name: str, paths: Sequence[Path]) -> Side:
    cells: list[_Cell] = []
    shards: list[Shard] = []
    for path in paths:
        try:
            data: Any = json.loads(path.read_bytes())
            file = _File.model_validate(data)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}", hint=HINT) from error
        except ValueError as error:
            raise UsageError(f"{path} is no matrix in JSON: {_first(error)}", hint=HINT) from error
        cells += file.cells
        shards += file.shards
    newest = {cell.id: cell for cell in sorted(cells, key=lambda cell: (cell.started, cell.run))}
    return Side(name, {cell.id: _outcome(cell) for cell in newest.values()}, tuple(missing(shards)))


def _outcome(cell: _Cell) -> Outcome:
    plain = {Verdict.XFAIL: Verdict.FAIL, Verdict.XPASS: Verdict.PASS}
    return Outcome(
        cell=cell.id,
        verdict=cell.verdict,
        raw=cell.raw or plain.get(cell.verdict, cell.verdict),
        status=cell.status,
        message=cell.message,
        run=cell.run,
        inputs=cell.inputs,
        evidence=cell.evidence,
        retried=cell.retried,
        elapsed=cell.elapsed,
    )


def _first(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    return str(error)


__all__ = ["HINT", "list_runs", "load_side", "side_of_run"]
