"""One axis for all evidence of a cell: seconds since its journal began."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from results.entries import Entry, StepStart
from results.page.evidence import Evidence
from results.page.excerpt import Excerpt

MARKS_MOST = 1500
COMMAND = "-command"
# QMP transcripts of the machine that is called dom0, and of one of another name.
MACHINE = "machine"
DAY = 86400.0


class Mark(NamedTuple):
    """Something that was said to, or by, a QEMU. `t` counts from the cell's beginning, in seconds."""

    t: float
    text: str
    event: bool


class Clock:
    """Puts the machine's clocks and the journal's on one axis.

    A console's time line and a QMP transcript count from the start of their machine, the journal from its own. A
    transcript's greeting tells the wall time, as do the events of the outer QEMU; without either the machine is taken
    to have started with the first step, and `approximate` becomes true.
    """

    def __init__(self, evidence: Evidence, journal: list[Entry]) -> None:
        self.approximate = False
        self._evidence = evidence
        self._wall = journal[0].wall.timestamp() - journal[0].t if journal else None
        first = next((entry for entry in journal if isinstance(entry, StepStart)), None)
        self._guess = first.t if first else 0.0
        self._shifts: dict[str, float | None] = {}

    def shift(self, name: str) -> float:
        """Return what to add to a time of the console or transcript called `name`."""
        for transcript in (name.removesuffix(COMMAND), f"{name.removesuffix(COMMAND)}.{MACHINE}", MACHINE):
            if transcript not in self._shifts:
                self._shifts[transcript] = self._read_shift(transcript)
            if (found := self._shifts[transcript]) is not None:
                return found
        self.approximate = True
        return self._guess

    def _read_shift(self, transcript: str) -> float | None:
        excerpt = self._evidence.read(f"qmp/{transcript}.jsonl")
        if self._wall is None or excerpt is None:
            return None
        outer = transcript.endswith(MACHINE)
        for entry in excerpt.lines:
            t = _number(entry.get("t"))
            wall = _wall_of(entry, outer)
            if t is None or wall is None:
                continue
            # A machine starts after its cell and within a day; a clock that says something else was set meanwhile.
            if -1 <= (shift := wall - t - self._wall) <= DAY:
                return shift
        return None


@dataclass(frozen=True)
class TimeLine:
    """When each line of a console came: `offsets` in bytes of its log, `times` on the cell's axis, both rising."""

    offsets: tuple[int, ...] = ()
    times: tuple[float, ...] = ()

    def at(self, offset: int) -> float | None:
        """Return when the byte at `offset` came; None before the first line that is known."""
        number = bisect_right(self.offsets, offset) - 1
        return self.times[number] if number >= 0 else None

    def since(self, t: float) -> int | None:
        """Return the place of the first line that came at `t` or later."""
        number = bisect_left(self.times, t)
        return self.offsets[number] if number < len(self.offsets) else None


def read_timeline(excerpt: Excerpt | None, shift: float) -> TimeLine:
    """Read `console/NAME.timeline.jsonl`; what is damaged is passed over, a console without one has no times."""
    if excerpt is None:
        return TimeLine()
    offsets: list[int] = []
    times: list[float] = []
    for entry in excerpt.lines:
        t, offset = _number(entry.get("t")), entry.get("offset")
        if t is None or not isinstance(offset, int) or (offsets and (offset < offsets[-1] or t + shift < times[-1])):
            continue
        offsets.append(offset)
        times.append(t + shift)
    return TimeLine(tuple(offsets), tuple(times))


def read_marks(excerpt: Excerpt, shift: float) -> list[Mark]:
    """Return what a QMP transcript tells, at most MARKS_MOST of it."""
    found: list[Mark] = []
    for entry in excerpt.lines:
        t = _number(entry.get("t"))
        name = entry.get("event") or entry.get("execute")
        if t is None or not isinstance(name, str):
            continue
        found.append(Mark(t + shift, name[:80], "event" in entry))
        if len(found) == MARKS_MOST:
            break
    return found


def _wall_of(entry: dict[str, Any], outer: bool) -> float | None:
    if isinstance(text := entry.get("wall"), str):
        try:
            stamp = datetime.fromisoformat(text)
            return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    # The events of a domU's QEMU carry dom0's time, which is another.
    told = entry.get("timestamp") if outer else None
    if not isinstance(told, dict):
        return None
    seconds, micro = _number(told.get("seconds")), _number(told.get("microseconds"))
    return None if seconds is None or micro is None else seconds + micro / 1e6


def _number(value: object) -> float | None:
    # A finite number; JSON of Python's also knows NaN and Infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        return None
    return float(value)
