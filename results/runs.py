"""Where runs are kept: `ROOT/runs/<run-id>/cells/<cell-id>/`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from base.errors import InfraError, UsageError
from base.files import atomic_write
from base.paths import results_root
from base.yamlmodel import suggest
from results.model import CellId, Record, Scalar

RUN = "run.json"
RUNS = "runs"
CELLS = "cells"
# Between a cell's name and the number of its attempt, from the second on; no cell's name has it.
ATTEMPT = "@"


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

    def cell_directory(self, cell: CellId, attempt: int = 1) -> Path:
        """Make and return the result directory of a cell's attempt. Raises InfraError if this run has it already."""
        path = self.directory / CELLS / folder_name(cell.id, attempt)
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise InfraError(
                f"cell {cell.id} was executed in run {self.id} already", hint="start a new run to repeat it"
            ) from error
        return path

    def cell_directories(self) -> list[Path]:
        """Return the result directories that exist, by cell."""
        cells = self.directory / CELLS
        return sorted(path for path in cells.iterdir() if path.is_dir()) if cells.is_dir() else []


def folder_name(cell_id: str, attempt: int = 1) -> str:
    """Return the name of the folder of a cell's attempt (from 1)."""
    return cell_id if attempt == 1 else f"{cell_id}{ATTEMPT}{attempt}"


def split_folder(name: str) -> tuple[str, int]:
    """Return cell id and attempt of a folder's name."""
    cell, _, number = name.partition(ATTEMPT)
    return cell, int(number) if number.isdecimal() else 1


def create_run(command: Sequence[str], facts: Mapping[str, Scalar] | None = None, root: Path | None = None) -> Run:
    """Make a new run, with a name no other has and that sorts by time. Raises OSError."""
    runs = (root or results_root()) / RUNS
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
    folder = (root or results_root()) / RUNS
    found: list[Run] = []
    for directory in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            found.append(read_run(directory))
        except OSError as error:
            _note(notes, f"{directory}: not a run ({RUN}: {error.strerror})")
        except ValidationError:
            _note(notes, f"{directory}: damaged {RUN}")
    return found


def read_run(directory: Path) -> Run:
    """Read one run. Raises OSError if it is none, pydantic.ValidationError if its `run.json` is damaged."""
    record = RunRecord.model_validate_json((directory / RUN).read_bytes())
    return Run(directory.name, directory, record.started, record.command, record.facts)


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


def _note(notes: list[str] | None, text: str) -> None:
    if notes is not None:
        notes.append(text)
