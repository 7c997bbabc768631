"""A SQLite file that may be lost at any time: shared by processes, made anew when damaged, in memory when need be."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from base.errors import InfraError

FILE = "index.sqlite3"
LOCK = "index.lock"
# How long (s) one process waits until another has written.
PATIENCE = 60.0
# What SQLite says of a file that is none of its own, or damaged; and when it must not, or cannot, write.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)

T = TypeVar("T")


def with_database(folder: Path, schema: int, tables: Mapping[str, str], work: Callable[[sqlite3.Connection], T]) -> T:
    """Do some work with the database of a folder, whose tables are those of this schema; its file is only a memory.

    Damaged, it is removed behind a lock that all users share, and the work is done again. Where it cannot be written
    (a folder that is read-only, or not there yet), one in memory takes its place. Raises InfraError when somebody else
    keeps it locked for longer than PATIENCE.
    """
    for _ in range(2 if folder.is_dir() else 0):
        try:
            with _locked(folder, fcntl.LOCK_SH), contextlib.closing(_connect(folder / FILE)) as connection:
                _prepare(connection, schema, tables)
                return work(connection)
        except sqlite3.DatabaseError as error:
            code = error.sqlite_errorcode & 0xFF
            if code in _UNWRITABLE:
                break
            if code not in _DAMAGED:
                raise InfraError(
                    f"the index of results cannot be used: {error}",
                    hint="is another `testbed` busy with it? It may be removed at any time",
                    where=str(folder / FILE),
                ) from error
        except _LockUnwritable:
            break
        _remove_damaged(folder)
    with contextlib.closing(_connect(None)) as connection:
        _prepare(connection, schema, tables)
        return work(connection)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """Write everything of a block, or nothing; DEFERRED: read all of it from one state. Raises sqlite3.Error."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


class _LockUnwritable(Exception):
    """The folder takes no new file."""


def _connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", timeout=PATIENCE, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        # Where there can be no WAL (file systems of other machines), SQLite stays with its older ways.
        connection.execute("PRAGMA journal_mode = WAL")
        # A loss of power may cost what was written last, which the next reader writes again.
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, schema: int, tables: Mapping[str, str]) -> None:
    """Make the tables, anew if they are another version's."""
    if _schema(connection) == schema:
        return
    with transaction(connection):
        # Asked again, now that nobody else can be doing the same.
        if _schema(connection) == schema:
            return
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{name}"')
        for name, columns in tables.items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
        connection.execute(f"PRAGMA user_version = {schema}")


def _schema(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _LockUnwritable from error
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _remove_damaged(folder: Path) -> None:
    """Remove a database that cannot be read, when nobody uses it; one that was made anew meanwhile stays."""
    with _locked(folder, fcntl.LOCK_EX):
        try:
            with contextlib.closing(_connect(folder / FILE)) as connection:
                if connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                    return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            (folder / name).unlink(missing_ok=True)
