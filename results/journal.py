"""The journal of one cell: written while it runs, on disk after every entry, readable after any crash."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from pydantic import JsonValue, ValidationError

from base.errors import InfraError
from base.files import atomic_write
from results.entries import CellEnd, CellStart, Entry, Fact, StepEnd, StepStart, read_entry, read_line
from results.model import SCHEMA, CellId, Result, Scalar, Section, Status, StepPlan, StepResult, Verdict
from results.seal import KEY, RESULT, make_seal
from results.timings import remember

JOURNAL = "journal.jsonl"


class Journal:
    """Writes `journal.jsonl` of a result directory, and `result.json` last.

    While it is open it holds a lock on its file, which tells a running cell from one that died.
    Raises InfraError if the directory has a journal already, OSError if it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            self._descriptor = os.open(directory / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError as error:
            raise InfraError(
                f"{directory} has a journal already",
                hint="give each execution of a cell a directory of its own",
            ) from error
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._began = time.monotonic()
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; without `finish` the cell counts as died. Harmless when repeated."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def cell_start(self, run: str, cell: CellId, declared: Sequence[StepPlan]) -> None:
        """Record that `cell` begins, and all steps it has. Raises OSError."""
        steps = [step.model_dump(mode="json") for step in declared]
        self._append("cell-start", run=run, cell=cell.model_dump(mode="json"), declared=steps)

    def step_start(self, index: int, section: Section, verb: str, title: str = "") -> None:
        """Record that step `index` (from 0, over both sections) begins. Raises OSError."""
        self._append("step-start", index=index, section=section, verb=verb, title=title)

    def step_end(
        self,
        index: int,
        verdict: Verdict,
        elapsed: float,
        message: str = "",
        data: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Record that step `index` ended after `elapsed` seconds. Raises OSError."""
        self._append(
            "step-end",
            index=index,
            verdict=verdict,
            elapsed=round(elapsed, 3),
            message=message,
            data=dict(data or {}),
        )

    def fact(self, name: str, value: Scalar) -> None:
        """Record a circumstance; a later value of the same name counts. Raises OSError."""
        self._append("fact", name=name, value=value)

    def note(self, text: str) -> None:
        """Record a line for a person. Raises OSError."""
        self._append("note", text=text)

    def cell_end(self, verdict: Verdict, raw: Verdict, status: Status, message: str = "") -> None:
        """Record how the cell ended. Raises OSError."""
        self._append("cell-end", verdict=verdict, raw=raw, status=status, message=message)

    def finish(self, result: Result) -> None:
        """Write `cell-end`, then `result.json` with the seal of all evidence; close, and remember the steps' times.

        All other files of the directory must be whole. Raises OSError.
        """
        self.cell_end(result.verdict, result.raw, result.status, result.message)
        content = result.model_dump(mode="json", by_alias=True)
        content[KEY] = make_seal(self.directory, content)
        atomic_write(self.directory / RESULT, json.dumps(content, indent=1) + "\n")
        self.close()
        remember(self.directory, result)

    def _append(self, kind: str, **fields: Any) -> None:
        with self._lock:
            if self._descriptor < 0:
                raise InfraError(f"the journal of {self.directory} is closed: '{kind}' came too late")
            entry = {
                "schema": SCHEMA,
                "t": round(time.monotonic() - self._began, 4),
                "wall": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "kind": kind,
                **fields,
            }
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace") + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)


def is_running(directory: Path) -> bool:
    """Return whether the cell of this result directory is being executed at this moment."""
    try:
        descriptor = os.open(directory / JOURNAL, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_journal(directory: Path) -> list[Entry]:
    """Return the entries of a directory's journal; a last line torn by a crash is left out.

    Raises InfraError when there is no journal, when a line before the last is damaged, or when the
    journal was written by a newer version.
    """
    path = directory / JOURNAL
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InfraError(f"cannot read {path}: {error.strerror}", hint="is this a result directory?") from error
    *lines, torn = raw.split(b"\n")
    entries: list[Entry] = []
    # What follows the last newline was never finished. A crash of the host may tear the line before it, too.
    for number, line in enumerate(lines, 1):
        with suppress(ValidationError):
            entries.append(read_line(line))
            continue
        # Again, for a better word, and for half a pair of surrogates, which only Python's own JSON takes.
        try:
            data = json.loads(line)
        except ValueError as error:
            if number == len(lines) and not torn:
                break
            raise _damaged(f"{path}:{number}", error) from error
        _check_schema(data, f"{path}:{number}")
        try:
            entries.append(read_entry(data))
        except ValidationError as error:
            raise _damaged(f"{path}:{number}", error) from error
    return entries


def load_result(directory: Path) -> Result:
    """Return the result of a result directory; without `result.json`, what its journal tells of a run that died.

    Raises InfraError when neither can be read, or when a newer version wrote them.
    """
    path = directory / RESULT
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return _reconstruct(directory)
    except OSError as error:
        raise InfraError(f"cannot read {path}: {error.strerror}", hint="check the permissions") from error
    with suppress(ValidationError):
        return Result.model_validate_json(raw)
    # Again, as a journal's line.
    try:
        data = json.loads(raw)
        _check_schema(data, str(path))
        return Result.model_validate(data)
    except ValueError as error:
        raise _damaged(str(path), error) from error


def _reconstruct(directory: Path) -> Result:
    entries = read_journal(directory)
    start = next((entry for entry in entries if isinstance(entry, CellStart)), None)
    if start is None:
        raise InfraError("the run died before its cell began", where=str(directory / JOURNAL))
    begun = {entry.index: entry for entry in entries if isinstance(entry, StepStart)}
    ended = {entry.index: entry for entry in entries if isinstance(entry, StepEnd)}
    steps = tuple(
        StepResult(
            index=index,
            section=first.section,
            verb=first.verb,
            title=first.title,
            verdict=last.verdict,
            elapsed=last.elapsed,
            message=last.message,
            data=last.data,
        )
        for index, first in sorted(begun.items())
        if (last := ended.get(index)) is not None
    )
    return Result(
        run=start.run,
        cell=start.cell,
        verdict=Verdict.INFRA,
        raw=Verdict.INFRA,
        status=Status.UNTESTED,
        message=_last_words(is_running(directory), entries, len(start.declared)),
        started=start.wall,
        elapsed=entries[-1].t,
        declared=len(start.declared),
        steps=steps,
        facts={entry.name: entry.value for entry in entries if isinstance(entry, Fact)},
    )


def _last_words(running: bool, entries: Sequence[Entry], declared: int) -> str:
    """Say what was under way when the journal ends."""
    verb = "is still running" if running else "died"
    begun = [entry for entry in entries if isinstance(entry, StepStart)]
    ended = {entry.index for entry in entries if isinstance(entry, StepEnd)}
    if end := next((entry for entry in entries if isinstance(entry, CellEnd)), None):
        return f"the run {verb} while it wrote its result ({end.raw})"
    if not begun:
        return f"the run {verb} before the first of {declared} steps"
    last = begun[-1]
    name = f"step {last.index + 1} of {declared}, {last.title or last.verb}"
    return f"the run {verb} {'after' if last.index in ended else 'during'} {name}"


def _check_schema(data: Any, where: str) -> None:
    version = data.get("schema") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise InfraError(
            f"schema {version}, but this version of the test bed reads up to {SCHEMA}",
            where=where,
            hint="update the checkout (`git pull`), or read it with the version that wrote it",
        )


def _damaged(where: str, cause: Exception) -> InfraError:
    detail = cause.errors(include_url=False)[0]["msg"] if isinstance(cause, ValidationError) else cause
    return InfraError(f"damaged: {detail}", where=where, hint="run the cell again; the rest of its evidence is intact")
