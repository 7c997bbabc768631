"""Where runs are kept: `ROOT/runs/<run-id>/cells/<cell-id>/`, and what was seen last of each cell."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from base.errors import InfraError, TestbedError, UsageError
from base.files import atomic_write
from base.paths import results_root
from base.yamlmodel import suggest
from results.journal import is_running, load_result
from results.model import CellId, Record, Result, Scalar

RUN = "run.json"


class RunRecord(Record):
    """The content of `run.json`."""

    id: str
    started: datetime
    command: tuple[str, ...] = ()
    facts: dict[str, Scalar] = Field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run in the store. `started` in UTC, `facts` hold for all its cells."""

    id: str
    directory: Path
    started: datetime
    command: tuple[str, ...]
    facts: Mapping[str, Scalar]

    def cell_directory(self, cell: CellId) -> Path:
        """Make and return the result directory of `cell`. Raises InfraError if this run has it already."""
        path = self.directory / "cells" / cell.id
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise InfraError(
                f"cell {cell.id} was executed in run {self.id} already", hint="start a new run to repeat it"
            ) from error
        return path

    def cell_directories(self) -> list[Path]:
        """Return the result directories that exist, by cell."""
        cells = self.directory / "cells"
        return sorted(path for path in cells.iterdir() if path.is_dir()) if cells.is_dir() else []


@dataclass(frozen=True)
class Stored:
    """A result and the directory its evidence is in."""

    result: Result
    directory: Path

    @property
    def evidence(self) -> Path:
        """Return the console log that was written to last, or the directory if there is none."""
        logs = [(path.stat().st_mtime_ns, path) for path in self.directory.glob("console/*.log")]
        return max(logs)[1] if logs else self.directory


def create_run(command: Sequence[str], facts: Mapping[str, Scalar] | None = None, root: Path | None = None) -> Run:
    """Make a new run, with a name no other has and that sorts by time. Raises OSError."""
    runs = (root or results_root()) / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)
    while True:
        identifier = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        directory = runs / identifier
        try:
            directory.mkdir()
            break
        except FileExistsError:
            continue
    record = RunRecord(id=identifier, started=started, command=tuple(command), facts=dict(facts or {}))
    content = {"schema": 1, **record.model_dump(mode="json")}
    atomic_write(directory / RUN, json.dumps(content, indent=1) + "\n")
    return Run(identifier, directory, started, record.command, record.facts)


def list_runs(notes: list[str] | None = None, root: Path | None = None) -> list[Run]:
    """Return all runs, oldest first. A directory that is no run is passed over; `notes` gets a line for it."""
    folder = (root or results_root()) / "runs"
    found: list[Run] = []
    for directory in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            record = RunRecord.model_validate_json((directory / RUN).read_bytes())
        except OSError as error:
            _note(notes, f"{directory}: not a run ({RUN}: {error.strerror})")
        except ValidationError:
            _note(notes, f"{directory}: damaged {RUN}")
        else:
            found.append(Run(directory.name, directory, record.started, record.command, record.facts))
    return found


def find_run(name: str, root: Path | None = None) -> Run:
    """Return the run called `name`: its id, a beginning of it that only it has, or `last`. Raises UsageError."""
    runs = list_runs(root=root)
    if not runs:
        raise UsageError(f"no run '{name}': there are no results yet", hint="`./testbed run` makes some")
    if name == "last":
        return runs[-1]
    matching = [run for run in runs if run.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"'{name}' begins {len(matching)} runs", hint=f"the last of them is {matching[-1].id}")
    raise UsageError(f"no run '{name}'{suggest(name, [run.id for run in runs[-10:]])}", hint="`last` is the newest")


def results_of(run: Run, notes: list[str] | None = None) -> list[Stored]:
    """Return the results of one run, by cell. Broken and running cells go to `notes`."""
    found: list[Stored] = []
    for directory in run.cell_directories():
        # Asked first: a cell that ends meanwhile is whole when it is read, one that dies has died.
        if is_running(directory):
            _note(notes, f"{directory.name} in run {run.id} is still running")
            continue
        try:
            found.append(Stored(load_result(directory), directory))
        except TestbedError as error:
            _note(notes, f"{directory.name} in run {run.id}: {error}")
    return found


def latest_per_cell(
    runs: Iterable[Run] | None = None, notes: list[str] | None = None, root: Path | None = None
) -> list[Stored]:
    """Return for each cell the newest result that says something about the product, by cell id.

    Trouble of ours and skips do not hide what an earlier run found; such a newer result goes to `notes`.
    If a cell has nothing else, its newest one is returned. Without `runs`, all runs count.
    """
    chosen: dict[str, Stored] = {}
    for run in sorted(list_runs(notes, root) if runs is None else runs, key=lambda run: run.id, reverse=True):
        for stored in results_of(run, notes):
            cell = stored.result.cell.id
            newer = chosen.get(cell)
            if newer is None:
                chosen[cell] = stored
            elif stored.result.speaks and not newer.result.speaks:
                chosen[cell] = stored
                told = newer.result
                _note(notes, f"{cell}: run {told.run} is newer, but ended as {told.verdict}: {told.message}")
    return [chosen[cell] for cell in sorted(chosen)]


def _note(notes: list[str] | None, text: str) -> None:
    if notes is not None:
        notes.append(text)
