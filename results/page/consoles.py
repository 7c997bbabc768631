"""The consoles of an execution: their lines as a person saw them, with times, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from results.page.clock import COMMAND, Clock, TimeLine, read_timeline
from results.page.evidence import READ_MOST, TIMELINE, Copied, Evidence
from results.page.terminal import Line, render

# Of a console so much is shown as a terminal would; the copy of its raw log has more.
SHOWN_MOST = READ_MOST // 4
FOLDER = "console/"


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

    def markup(self) -> list[list[Markup]]:
        """Return the lines of each part as HTML."""
        number, shown, found = 0, "", []
        for part in self.parts:
            lines = []
            for line in part:
                number += 1
                # A time is written where it changes.
                time = "" if line.time is None else f"{line.time:.2f}"
                lines.append(_line_markup(number, "" if time == shown else time, line))
                shown = time
            found.append(lines)
        return found

    def at(self, t: float, until: float) -> int | None:
        """Return the number of the first line that came from `t` until `until`."""
        number = 0
        for part in self.parts:
            for line in part:
                number += 1
                if line.time is not None and t <= line.time <= until:
                    return number
        return None


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


def _line_markup(number: int, time: str, line: Line) -> Markup:
    """Return a line as HTML: as a template would, but ten times as quickly."""
    text = "".join(
        f'<span class="{escape(span.look)}">{escape(span.text)}</span>' if span.look else escape(span.text)
        for span in line.spans
    )
    link = f'<a href="#L{number}" tabindex="-1">{number}</a>'
    return Markup(f'<div id="L{number}">{link}<i>{time}</i><code>{text}</code></div>')  # noqa: S704  (escaped above)
