"""An index over the result directories, so that a million of them are quick to ask.

The directories are the truth. The index (SQLite in WAL mode, `ROOT/index.sqlite3`) only remembers what was read of
them, is brought up to date by every reader, and may be removed at any time. How a change is noticed:

* a result directory that was added or removed: the time of its run's `cells` folder;
* a result that was written to, in whatever way: every result that is *returned* is compared first, by the names, sizes
  and times of all its files, with what was read. Results that are not returned cannot mislead anybody;
* a time within MARGIN of the moment of reading proves nothing, the clock that file systems use is coarse: such a
  directory is read again.

Readers may write at once: what was read of a run is written in one transaction, and only if nobody wrote that run
meanwhile (`version`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from base.errors import TestbedError
from base.paths import results_root
from results.database import transaction, with_database
from results.model import CellId, Reason, Status, Summary, Verdict
from results.runs import CELLS, RUNS, Run, folder_name, split_folder
from results.seal import SealState, stamp
from results.stored import Stored, observe

# Of the tables below and of what `Stored` is made of; another number means that the index is made anew.
SCHEMA = 1
# A file system's times may be this much (ns) behind the clock: two seconds is FAT's tick, the coarsest in use.
MARGIN = 2_000_000_000
TABLES = {
    "texts": "key INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE",
    "runs": "run TEXT PRIMARY KEY, time INTEGER NOT NULL, version INTEGER NOT NULL",
    "results": (
        "run TEXT NOT NULL, cell INTEGER NOT NULL, attempt INTEGER NOT NULL, settled INTEGER NOT NULL, "
        "stamp TEXT NOT NULL, weighs INTEGER NOT NULL, identity INTEGER NOT NULL, inputs INTEGER NOT NULL, "
        "reason INTEGER, seal TEXT NOT NULL, faults TEXT NOT NULL, verdict TEXT NOT NULL, raw TEXT NOT NULL, "
        "status TEXT NOT NULL, message TEXT NOT NULL, started TEXT NOT NULL, elapsed REAL NOT NULL, "
        "declared INTEGER NOT NULL, UNIQUE (run, cell, attempt), UNIQUE (cell, weighs, run, attempt)"
    ),
    "unread": "run TEXT NOT NULL, folder TEXT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (run, folder)",
}
INSERT = f"INSERT INTO results VALUES ({', '.join('?' * 18)})"  # noqa: S608
_COLUMNS = (
    "run, attempt, settled, stamp, seal, faults, verdict, raw, status, message, started, elapsed, declared, "
    "c.text AS cell, i.text AS identity, n.text AS inputs, r.text AS reason"
)
_SELECT = f"""
SELECT results.rowid AS id, {_COLUMNS} FROM results
JOIN texts c ON c.key = results.cell JOIN texts i ON i.key = results.identity
JOIN texts n ON n.key = results.inputs LEFT JOIN texts r ON r.key = results.reason
"""  # noqa: S608  (no text of anybody's is in it)
# Of each cell its newest result that weighs, and its newest that does not. The cells that there are, each found by a
# jump in the index rather than by reading all of it.
_LATEST = """
WITH RECURSIVE one(cell) AS (
    SELECT min(cell) FROM results
    UNION ALL SELECT (SELECT min(cell) FROM results WHERE cell > one.cell) FROM one WHERE one.cell IS NOT NULL
)
SELECT
    (SELECT rowid FROM results WHERE cell = one.cell AND weighs = 1 ORDER BY run DESC, attempt DESC LIMIT 1) AS weighs,
    (SELECT rowid FROM results WHERE cell = one.cell AND weighs = 0 ORDER BY run DESC, attempt DESC LIMIT 1) AS light
FROM one WHERE cell IS NOT NULL
"""

T = TypeVar("T")
# A result's place: run, cell, attempt.
Place = tuple[str, str, int]


def ask(question: Callable[[Index], T], root: Path | None = None) -> T:
    """Answer a question with the index of a results folder. Raises InfraError when it stays locked for long."""
    folder = root or results_root()
    return with_database(folder, SCHEMA, TABLES, lambda connection: question(Index(folder, connection)))


@dataclass(frozen=True)
class _Read:
    """What was read of a result directory: a result, or a note why there is none."""

    stored: Stored | None
    note: str
    stamp: str
    settled: bool


class Index:
    """An open index. Use `ask`; what is returned was compared with the disk in this session."""

    def __init__(self, root: Path, connection: sqlite3.Connection) -> None:
        self._root = root
        self.connection = connection
        self._checked: dict[Place, Stored] = {}
        self._keys: dict[str, int] = {}
        self._cells: dict[str, CellId] = {}
        self._inputs: dict[str, Mapping[str, str]] = {}

    def sync(self, runs: Sequence[Run], *, all_runs: bool = True) -> None:
        """Take in what was added to these runs and drop what was removed; `all_runs`: there are no others."""
        known = {row["run"]: row["time"] for row in self.connection.execute("SELECT run, time FROM runs")}
        if all_runs and (gone := known.keys() - {run.id for run in runs}):
            with self._transaction():
                for run_id in gone:
                    for table in ("runs", "results", "unread"):
                        self.connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))  # noqa: S608
        unread = {row["run"] for row in self.connection.execute("SELECT DISTINCT run FROM unread")}
        for run in runs:
            if run.id in unread or known.get(run.id) != _time(run):
                while not self._read_run(run):
                    pass  # another process was quicker, and what it wrote may be older than what is there

    def notes(self, runs: Sequence[Run]) -> list[str]:
        """Return a line for each directory of these runs that gives no result: damaged, or its cell is running."""
        wanted = {run.id for run in runs}
        rows = self.connection.execute("SELECT run, note FROM unread ORDER BY run DESC, folder")
        return [row["note"] for row in rows if row["run"] in wanted]

    def latest(self) -> list[list[Stored]]:
        """Return for each cell of all runs its newest result that weighs, and one that is newer than that, if any.

        To weigh is to say something about the product, or to have been edited.
        """
        while True:
            chosen = self._settle(self._latest_places)
            # Where the newest does not weigh, one before it may do so by now: it may have been edited.
            light = [rows[0].result.cell.id for rows in chosen if not _weighs(rows[0])]
            if not self._refresh([row for cell in light for (row,) in self._cell_places(cell)]):
                return chosen

    def of_runs(self, runs: Sequence[Run]) -> list[Stored]:
        """Return all results of some runs, newest run first, by cell and attempt."""
        return [one for run in runs for (one,) in self._settle(partial(self._run_places, run.id))]

    def of_cell(self, cell_id: str) -> list[Stored]:
        """Return all results of a cell, oldest first."""
        return [stored for (stored,) in self._settle(partial(self._cell_places, cell_id))]

    def verdicts(self, cell_id: str) -> list[tuple[Mapping[str, str], Verdict]]:
        """Return the different pairs of inputs and raw verdict that results of a cell had, as they were when read."""
        rows = self.connection.execute(
            "SELECT DISTINCT n.text AS inputs, raw FROM results JOIN texts n ON n.key = inputs "
            "WHERE cell = (SELECT key FROM texts WHERE text = ?)",
            (cell_id,),
        )
        return [(self._inputs_of(row["inputs"]), Verdict(row["raw"])) for row in rows]

    def content(self) -> list[tuple[Any, ...]]:
        """Return all that is known, sorted; two indexes of the same directories are equal in it."""
        rows = [
            tuple(row[name] for name in row.keys() if name not in ("id", "settled"))  # noqa: SIM118  (a Row is no dict)
            for row in self.connection.execute(_SELECT)
        ]
        return sorted(rows, key=repr) + sorted(tuple(row) for row in self.connection.execute("SELECT * FROM unread"))

    def _latest_places(self) -> list[list[sqlite3.Row]]:
        # One transaction, so that what the rows' numbers stand for is what it was when they were found.
        with transaction(self.connection, "DEFERRED"):
            return self._read_latest()

    def _read_latest(self) -> list[list[sqlite3.Row]]:
        found: list[list[sqlite3.Row]] = []
        for pair in self.connection.execute(_LATEST).fetchall():
            both = [self._row(number) for number in pair if number is not None]
            both.sort(key=lambda row: (row["run"], row["attempt"]), reverse=True)
            # What is older than the one that weighs, and does not, interests nobody.
            found.append(both[:1] if len(both) == 2 and both[0]["id"] == pair["weighs"] else both)
        return found

    def _run_places(self, run_id: str) -> list[list[sqlite3.Row]]:
        return [
            [row] for row in self.connection.execute(f"{_SELECT} WHERE run = ? ORDER BY c.text, attempt", (run_id,))
        ]

    def _cell_places(self, cell_id: str) -> list[list[sqlite3.Row]]:
        where = "WHERE results.cell = (SELECT key FROM texts WHERE text = ?) ORDER BY run, attempt"
        return [[row] for row in self.connection.execute(f"{_SELECT} {where}", (cell_id,))]

    def _row(self, number: int) -> sqlite3.Row:
        row: sqlite3.Row = self.connection.execute(f"{_SELECT} WHERE results.rowid = ?", (number,)).fetchone()
        return row

    def _settle(self, choose: Callable[[], list[list[sqlite3.Row]]]) -> list[list[Stored]]:
        """Choose results, compare them with the disk, and choose again as long as that changed something."""
        while True:
            chosen = choose()
            if not self._refresh([row for rows in chosen for row in rows]):
                return [[self._checked[_place(row)] for row in rows] for rows in chosen]

    def _refresh(self, rows: Iterable[sqlite3.Row]) -> bool:
        """Compare rows with the disk, once in a session; returns whether one had to be changed."""
        reread: list[tuple[sqlite3.Row, _Read]] = []
        for row in rows:
            if _place(row) in self._checked:
                continue
            directory = self._directory(row)
            if row["settled"] and _stamp(directory)[0] == row["stamp"]:
                self._checked[_place(row)] = self._stored(row, directory)
            else:
                reread.append((row, _read(directory, row["run"])))
        with self._transaction() if reread else contextlib.nullcontext():
            for row, read in reread:
                self._delete(row["run"], row["cell"], row["attempt"])
                self._write(row["run"], folder_name(row["cell"], row["attempt"]), read)
        return bool(reread)

    def _read_run(self, run: Run) -> bool:
        """Take in what changed in a run's folder; returns False if another process did so meanwhile."""
        now = time.time_ns()
        moment = _time(run)
        before = self.connection.execute("SELECT time, version FROM runs WHERE run = ?", (run.id,)).fetchone()
        there = {path.name for path in run.cell_directories()}
        rows = self.connection.execute(
            "SELECT text, attempt FROM results JOIN texts ON key = cell WHERE run = ?", (run.id,)
        )
        known = {folder_name(row["text"], row["attempt"]) for row in rows}
        unread = {
            row["folder"] for row in self.connection.execute("SELECT folder FROM unread WHERE run = ?", (run.id,))
        }
        added = {name: _read(run.directory / CELLS / name, run.id) for name in sorted(there - known)}
        settled = moment if moment < now - MARGIN else -1
        if before is not None and not added and not (known | unread) - there and settled == before["time"]:
            return True
        with self._transaction():
            found = self.connection.execute("SELECT version FROM runs WHERE run = ?", (run.id,)).fetchone()
            if (found and found["version"]) != (before and before["version"]):
                return False
            for name in (known | unread) - there:
                self._delete(run.id, *split_folder(name))
                self.connection.execute("DELETE FROM unread WHERE run = ? AND folder = ?", (run.id, name))
            for name, read in added.items():
                self._write(run.id, name, read)
            version = before["version"] + 1 if before else 1
            self.connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run.id, settled, version))
        return True

    def _delete(self, run_id: str, cell_id: str, attempt: int) -> None:
        self._checked.pop((run_id, cell_id, attempt), None)
        self.connection.execute(
            "DELETE FROM results WHERE run = ? AND cell = (SELECT key FROM texts WHERE text = ?) AND attempt = ?",
            (run_id, cell_id, attempt),
        )

    def _write(self, run_id: str, folder: str, read: _Read) -> None:
        self.connection.execute("DELETE FROM unread WHERE run = ? AND folder = ?", (run_id, folder))
        if read.stored is None:
            # A directory that is gone is no news: its run's folder tells.
            if read.note:
                self.connection.execute("INSERT INTO unread VALUES (?, ?, ?)", (run_id, folder, read.note))
            return
        cell_id, attempt = split_folder(folder)
        self.connection.execute(INSERT, self._values(run_id, cell_id, attempt, read))
        self._checked[run_id, cell_id, attempt] = read.stored

    def _values(self, run_id: str, cell_id: str, attempt: int, read: _Read) -> tuple[Any, ...]:
        stored = read.stored
        assert stored is not None
        result = stored.result
        reason = result.expectation
        return (
            run_id,
            self._key(cell_id),
            attempt,
            read.settled,
            read.stamp,
            _weighs(stored),
            self._key(result.cell.model_dump_json()),
            self._key(json.dumps(dict(stored.inputs), sort_keys=True)),
            None if reason is None else self._key(reason.model_dump_json()),
            stored.seal,
            json.dumps(stored.faults),
            result.verdict,
            result.raw,
            result.status,
            result.message,
            result.started.isoformat(),
            result.elapsed,
            result.declared,
        )

    def _key(self, text: str) -> int:
        """Return the number of a text, given anew if need be. Only inside a transaction."""
        if text not in self._keys:
            self.connection.execute("INSERT OR IGNORE INTO texts (text) VALUES (?)", (text,))
            (key,) = self.connection.execute("SELECT key FROM texts WHERE text = ?", (text,)).fetchone()
            self._keys[text] = key
        return self._keys[text]

    def _stored(self, row: sqlite3.Row, directory: Path) -> Stored:
        """Return a row as a result. What is in it was validated when it was read."""
        identity = row["identity"]
        if identity not in self._cells:
            self._cells[identity] = CellId.model_validate_json(identity)
        result = Summary.model_construct(
            run=row["run"],
            cell=self._cells[identity],
            verdict=Verdict(row["verdict"]),
            raw=Verdict(row["raw"]),
            status=Status(row["status"]),
            message=row["message"],
            started=datetime.fromisoformat(row["started"]),
            elapsed=row["elapsed"],
            declared=row["declared"],
            expectation=None if row["reason"] is None else Reason.model_validate_json(row["reason"]),
        )
        faults = tuple(json.loads(row["faults"]))
        seal = SealState(row["seal"])
        return Stored(result, directory, self._inputs_of(row["inputs"]), seal, faults, stamp=row["stamp"])

    def _inputs_of(self, text: str) -> Mapping[str, str]:
        if text not in self._inputs:
            self._inputs[text] = json.loads(text)
        return self._inputs[text]

    def _directory(self, row: sqlite3.Row) -> Path:
        run: str = row["run"]
        return self._root / RUNS / run / CELLS / folder_name(row["cell"], row["attempt"])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self.connection):
                yield
        except BaseException:
            self._keys.clear()
            raise


def _place(row: sqlite3.Row) -> Place:
    return row["run"], row["cell"], row["attempt"]


def _time(run: Run) -> int:
    """Return when a result directory was last added to a run or removed (ns since the epoch), 0 if it has none."""
    try:
        return (run.directory / CELLS).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _weighs(stored: Stored) -> bool:
    return stored.result.speaks or stored.edited


def _stamp(directory: Path) -> tuple[str, int]:
    try:
        return stamp(directory)
    except OSError:
        return "", 0


def _read(directory: Path, run_id: str) -> _Read:
    """Read a result directory; trouble becomes a note."""
    now = time.time_ns()
    before, newest = _stamp(directory)
    try:
        stored = observe(directory)
        if stored and stored.result.run != run_id:
            # A run is known by its folder, also if somebody gave that another name.
            stored = replace(stored, result=stored.result.model_copy(update={"run": run_id}))
        note = "" if stored else f"{directory.name} in run {run_id} is still running"
    except TestbedError as error:
        stored, note = None, f"{directory.name} in run {run_id}: {error}" if directory.is_dir() else ""
    settled = newest < now - MARGIN and before == _stamp(directory)[0]
    return _Read(replace(stored, stamp=before) if stored else None, note, before, settled)
