"""Names for runs: `main` is the run that somebody said it is. One small file each, `ROOT/baselines/NAME.json`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from base.errors import InfraError, UsageError
from base.files import atomic_write
from base.paths import results_root
from base.yamlmodel import suggest
from results.model import Record
from results.runs import Run, list_runs

FOLDER = "baselines"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


class Baseline(Record):
    """A name, the run it stands for, and when it was given."""

    name: str
    run: str
    set_at: datetime


def check_name(name: str) -> None:
    """Raise UsageError if a baseline cannot be called so."""
    if name == "last" or not NAME.fullmatch(name):
        raise UsageError(
            f"a baseline cannot be called '{name}'",
            hint="a letter, then letters, digits, `.`, `_` and `-`; `last` is taken",
        )


def save_baseline(name: str, run: Run, root: Path | None = None) -> None:
    """Let `name` stand for a run from now on. Raises UsageError for a bad name, OSError."""
    check_name(name)
    path = _folder(root) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    baseline = Baseline(name=name, run=run.id, set_at=datetime.now(UTC))
    atomic_write(path, baseline.model_dump_json(indent=1) + "\n")


def list_baselines(root: Path | None = None) -> dict[str, Baseline]:
    """Return all baselines by name. Raises InfraError for one that cannot be read."""
    return {path.stem: _read(path) for path in sorted(_folder(root).glob("*.json"))}


def find_baseline(name: str, root: Path | None = None) -> Run | None:
    """Return the run that a name stands for, None if it is no baseline's name. Raises UsageError if the run is gone."""
    path = _folder(root) / f"{name}.json"
    if not NAME.fullmatch(name) or not path.is_file():
        return None
    baseline = _read(path)
    found = next((run for run in list_runs(root=root) if run.id == baseline.run), None)
    if found is None:
        raise UsageError(
            f"baseline {name} is run {baseline.run}, which is not there any more",
            hint=f"`./testbed baseline {name} RUN` names another",
        )
    return found


def remove_baseline(name: str, root: Path | None = None) -> None:
    """Forget a baseline; its run stays. Raises UsageError if there is none."""
    path = _folder(root) / f"{name}.json"
    if not NAME.fullmatch(name) or not path.is_file():
        raise UsageError(f"no baseline '{name}'{suggest(name, list(list_baselines(root)))}")
    path.unlink()


def _folder(root: Path | None) -> Path:
    return (root or results_root()) / FOLDER


def _read(path: Path) -> Baseline:
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InfraError(f"cannot read the baseline {path}: {error}", hint="set it again") from error
