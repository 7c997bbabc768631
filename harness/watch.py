"""Follows the journals of a run's cells, whichever process writes them, and reports what they say."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Any, Self

from base.progress import Event, Report, State
from results.journal import JOURNAL
from results.runs import split_folder
from results.store import Run
from results.timings import expected, history

# How often the journals are looked at (s); only the display depends on it.
EVERY = 0.2
GOOD = ("pass", "xfail", "skip")
# Characters of a cell's message that are shown when it ends; the whole is in the result.
REASON = 200


class RunWatcher:
    """Reports the steps of a run's cells until its block ends."""

    def __init__(self, run: Run, report: Report) -> None:
        self._cells = run.directory / "cells"
        self._report = report
        self._offsets: dict[Path, int] = {}
        self._ended: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="run-watcher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(EVERY):
            self.look()
        self.look()

    def look(self) -> None:
        """Report what has been written since the last look."""
        folders = {folder.name for folder in self._cells.iterdir()} if self._cells.exists() else set()
        for folder in sorted(folders - self._ended):
            path = self._cells / folder / JOURNAL
            if not path.exists():  # the folder is there before its journal
                continue
            with path.open("rb") as stream:
                stream.seek(self._offsets.get(path, 0))
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    entry = json.loads(line)
                    self._tell(split_folder(folder)[0], entry)
                    if entry["kind"] == "cell-end":
                        self._ended.add(folder)

    def _tell(self, cell: str, entry: dict[str, Any]) -> None:
        task = cell_task(cell)
        match entry["kind"]:
            case "cell-start":
                self._report(Event(task, "running", "starting", expected=cell_expected(cell)))
            case "step-start":
                self._report(Event(task, "running", entry["title"] or entry["verb"]))
            case "cell-end":
                verdict = entry["verdict"]
                detail = f"{verdict}, {entry['status']}"
                # The reason of what was expected stands below the matrix.
                if entry["message"] and verdict != "xfail":
                    detail += f" ({shorten(entry['message'], REASON, placeholder=' ...')})"
                state: State = "done" if verdict in GOOD else "failed"
                self._report(Event(task, state, detail, elapsed=entry["t"]))


def cell_task(cell: str) -> str:
    """Return the name under which a cell is displayed."""
    return f"cell {cell}"


def cell_expected(cell: str) -> float | None:
    """Return how long a cell took before, in seconds; None if it never passed here."""
    known = [seconds for values in history(cell).values() if (seconds := expected(values)) is not None]
    return sum(known) if known else None
