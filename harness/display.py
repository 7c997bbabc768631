"""How long work looks to a person: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from base.progress import Event


@dataclass
class _Task:
    name: str
    detail: str
    began: float
    expected: float | None
    state: str

    def remaining(self, now: float) -> float | None:
        if self.expected is None:
            return None
        left = self.expected if self.state == "waiting" else self.expected - (now - self.began)
        return max(0.0, left)


def duration(seconds: float) -> str:
    """Return a duration as people write it: `0.3 s`, `12 s`, `2:05`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Display:
    """Shows the tasks of one piece of work. `report` takes the news, from any thread.

    Use as a context manager. On a terminal what runs is redrawn in place and what ended stays above it;
    elsewhere each beginning and end is one line.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._title = title
        self._lock = threading.RLock()
        self._tasks: dict[str, _Task] = {}
        self._ended = 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report(self, event: Event) -> None:
        """Take one piece of news. Where there is none, nothing is drawn."""
        with self._lock:
            if self._live is None and self._console.is_terminal:
                self._live = Live(
                    get_renderable=self._render, console=self._console, transient=True, refresh_per_second=8
                )
                self._live.start()
            match event.state:
                case "notice":
                    self._line("notice", "yellow", f"{event.task}: {event.detail}" if event.task else event.detail)
                case "waiting":
                    self._tasks.setdefault(
                        event.task, _Task(event.task, "", time.monotonic(), event.expected, "waiting")
                    )
                case "running":
                    self._run(event)
                case "done" | "failed":
                    self._end(event)

    def _run(self, event: Event) -> None:
        known = self._tasks.get(event.task)
        if known is None or known.state == "waiting":
            expected = known.expected if event.expected is None and known is not None else event.expected
            self._tasks[event.task] = _Task(event.task, event.detail, time.monotonic(), expected, "running")
            if self._live is None:
                usual = f" (took {duration(expected)} before)" if expected is not None else ""
                self._line("start", "", f"{event.task}{usual}")
        elif known.detail != event.detail:
            known.detail = event.detail

    def _end(self, event: Event) -> None:
        task = self._tasks.pop(event.task, None)
        self._ended += 1
        elapsed = event.elapsed
        if elapsed is None and task is not None:
            elapsed = time.monotonic() - task.began
        took = f" ({duration(elapsed)})" if elapsed is not None else ""
        tail = f": {event.detail}" if event.detail else ""
        if event.state == "done":
            self._line("done", "green", f"{event.task}{took}{tail}")
        else:
            self._line("FAILED", "red", f"{event.task}{took}{tail}")

    def _line(self, word: str, style: str, text: str) -> None:
        line = Text.assemble((f"{word:>7} ", style), text)
        # A log file's lines are not for the width of some terminal.
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _render(self) -> Group:
        with self._lock:
            now = time.monotonic()
            table = Table.grid(padding=(0, 1))
            for task in self._tasks.values():
                if task.state != "running":
                    continue
                elapsed = now - task.began
                left = task.remaining(now)
                usual = f"of about {duration(task.expected)}" if task.expected is not None else ""
                bar = ProgressBar(total=task.expected or None, completed=elapsed, width=16, pulse=left is None)
                table.add_row(
                    Spinner("dots"), task.name, bar, Text(f"{duration(elapsed)} {usual}", "cyan"), task.detail
                )
            return Group(table, Text(self._summary(now), "dim"))

    def _summary(self, now: float) -> str:
        waiting = sum(task.state == "waiting" for task in self._tasks.values())
        running = len(self._tasks) - waiting
        text = f"{self._title}: {self._ended} done, {running} running, {waiting} waiting"
        known = [left for task in self._tasks.values() if (left := task.remaining(now)) is not None]
        if known and len(known) == len(self._tasks):
            # Work that runs beside other work hides behind it.
            text += f", about {duration(max(*known, sum(known) / max(1, running)))} left"
        return text
