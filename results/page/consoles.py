"""The consoles of an execution: their lines as a person saw them, with times, as HTML."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf

from markupsafe import escape

from results.page.clock import COMMAND, Clock, TimeLine, read_timeline
from results.page.evidence import READ_MOST, TIMELINE, Copied, Evidence
from results.page.html import Html, escape_all
from results.page.terminal import Line, Span, render

# Of a console so much is shown as a terminal would; the copy of its raw log has more.
SHOWN_MOST = READ_MOST // 4
FOLDER = "console/"
# A browser lays out blocks of so many lines, and only those that are near to what is seen.
BLOCK = 250


@dataclass(frozen=True)
class Console:
    """A console and its page; `parts` are its lines, with a gap between two of them if some are left out."""

    name: str
    size: int
    parts: tuple[tuple[Line, ...], ...]
    left_out: int
    remarks: tuple[str, ...]
    times: TimeLine
    raw: str

    @property
    def page(self) -> str:
        """The place of its page, relative to the cell's."""
        return f"console/{self.name}.html"

    @property
    def count(self) -> int:
        """How many lines are shown."""
        return sum(len(part) for part in self.parts)

    def markup(self) -> list[list[Html]]:
        """Return each part as HTML, in blocks of BLOCK lines."""
        found, number, shown = [], 1, ""
        for part in self.parts:
            lines, shown = _lines_markup(part, number, shown)
            number += len(part)
            blocks = ("\n".join(lines[start : start + BLOCK]) for start in range(0, len(lines), BLOCK))
            found.append([Html(block) for block in blocks])
        return found

    def at(self, t: float, until: float) -> int | None:
        """Return the number of the first line that came from `t` until `until`."""
        # Times fall where a line was drawn on again; no line before this one came at `t` or later.
        start = bisect_left(self._latest, t)
        for number in range(start, len(self._times)):
            if t <= self._times[number] <= until:
                return number + 1
        return None

    @cached_property
    def _times(self) -> list[float]:
        """The time of each line, before all others where it is not known."""
        return [-inf if line.time is None else line.time for part in self.parts for line in part]

    @cached_property
    def _latest(self) -> list[float]:
        """The latest time up to each line, which rises."""
        return list(accumulate(self._times, max))


def read_consoles(evidence: Evidence, clock: Clock, files: Sequence[Copied]) -> list[Console]:
    """Return all consoles: kernels' logs first, then what commands said. Raises OSError."""
    found = [
        _console(evidence, clock, file) for file in files if file.name.startswith(FOLDER) and file.name.endswith(".log")
    ]
    return sorted(found, key=lambda console: (console.name.endswith(COMMAND), console.name))


def _console(evidence: Evidence, clock: Clock, file: Copied) -> Console:
    name = file.name.removeprefix(FOLDER).removesuffix(".log")
    times = read_timeline(evidence.read(f"{FOLDER}{name}{TIMELINE}"), clock.shift(name))
    log = evidence.read(file.name)
    assert log is not None, file.name  # it was copied
    excerpt = log.cut(SHOWN_MOST)
    head, remarks = render(excerpt.head, times.at)
    parts = [tuple(head)]
    if excerpt.left_out:
        tail, more = render(excerpt.tail, times.at, excerpt.tail_offset)
        parts.append(tuple(tail))
        remarks += more
    return Console(name, excerpt.size, tuple(parts), excerpt.left_out, remarks, times, file.path)


def _lines_markup(lines: Sequence[Line], number: int, shown: str) -> tuple[list[str], str]:
    """Return lines as HTML, of which the first is the `number`th, and the time that was written last.

    Everything that the console said is escaped.
    """
    found = []
    for (_, when, looks), plain in zip(lines, escape_all([line.text for line in lines]), strict=True):
        text = "".join(map(_span_markup, looks)) if looks else plain
        # A time is written where it changes.
        time = "" if when is None else f"{when:.2f}"
        found.append(
            f'<div id="L{number}"><a href="#L{number}" tabindex="-1">{number}</a>'
            f"<i>{'' if time == shown else time}</i><code>{text}</code></div>"
        )
        number += 1
        shown = time
    return found, shown


def _span_markup(span: Span) -> str:
    text = escape(span.text)
    return f'<span class="{escape(span.look)}">{text}</span>' if span.look else text
