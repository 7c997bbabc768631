"""Steps, consoles and QMP of a cell on one axis, as shapes for an SVG picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log1p, log10
from typing import NamedTuple

from results.page.clock import Mark, TimeLine

# In the picture's own units, which its style scales to the width that is there.
LEFT, WIDTH, RIGHT = 128, 1000, 14
LANE = 22
BUCKETS = 220
# Where the columns of a lane begin.
_COLUMNS = [f"M{LEFT + number * (WIDTH - LEFT - RIGHT) / BUCKETS:.1f}" for number in range(BUCKETS)]
# What took less (s) has no timeline.
LEAST = 0.001


class Bar(NamedTuple):
    """A step: where it stands, and what it says on touch."""

    x: float
    width: float
    verdict: str
    number: int
    title: str


class Tick(NamedTuple):
    """An event on a lane."""

    x: float
    title: str


class Lane(NamedTuple):
    """One row: a console or a QMP transcript. `said` is a path of how much was printed, `sent` one of commands."""

    name: str
    y: float
    said: str = ""
    sent: str = ""
    events: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class Picture:
    """All shapes of a timeline; `axis` are the positions and words of its scale."""

    height: float
    bars: tuple[Bar, ...]
    lanes: tuple[Lane, ...]
    axis: tuple[tuple[float, str], ...]
    left: float = LEFT
    width: float = WIDTH
    lane: float = LANE
    first: float = 26


class Span(NamedTuple):
    """A step on the axis: seconds, its verdict, what is said of it."""

    start: float
    end: float
    verdict: str
    number: int
    title: str


def draw(steps: Sequence[Span], consoles: Mapping[str, TimeLine], qmp: Mapping[str, Sequence[Mark]]) -> Picture | None:
    """Return the picture, None if no time is known. Lanes without anything on them are left out."""
    ends = [step.end for step in steps]
    ends += [line.times[-1] for line in consoles.values() if line.times]
    ends += [mark.t for marks in qmp.values() for mark in marks[-1:]]
    most = max(ends, default=0.0)
    if most < LEAST:
        return None
    scale = (WIDTH - LEFT - RIGHT) / most

    def at(t: float) -> float:
        return round(LEFT + min(max(t, 0.0), most) * scale, 1)

    bars = tuple(
        Bar(at(step.start), max(2.0, round((step.end - step.start) * scale, 1)), step.verdict, step.number, step.title)
        for step in steps
    )
    lanes: list[Lane] = []
    y = 26.0 + LANE + 6
    for name, line in consoles.items():
        if line.times:
            lanes.append(Lane(name, y, said=_density(line.times, most, y)))
            y += LANE
    for name, marks in qmp.items():
        if marks:
            events = tuple(Tick(at(mark.t), f"{mark.text} at {mark.t:.2f} s") for mark in marks if mark.event)
            sent = "".join(f"M{at(mark.t)} {y + 5}v11" for mark in marks if not mark.event)
            lanes.append(Lane(f"qmp {name}", y, sent=sent, events=events))
            y += LANE
    return Picture(y + 4, bars, tuple(lanes), tuple((at(t), text) for t, text in ticks(most)))


def _density(times: Sequence[float], most: float, y: float) -> str:
    """Return columns of how many lines came when; by the logarithm, for one line counts as well as a thousand."""
    counts = Counter([int(t / most * BUCKETS) for t in times])
    # What came before the beginning, or at the very end, stands at the edge.
    inside: Counter[int] = Counter()
    for number, count in counts.items():
        inside[min(BUCKETS - 1, max(0, number))] += count
    full = log1p(max(inside.values()))
    bottom = y + LANE - 2
    heights = {count: (LANE - 4) * (0.15 + 0.85 * log1p(count) / full) for count in set(inside.values())}
    drawn = {count: f" {bottom}v-{height:.1f}h3v{height:.1f}z" for count, height in heights.items()}
    return "".join([_COLUMNS[number] + drawn[count] for number, count in sorted(inside.items())])


def ticks(most: float, wanted: int = 8) -> list[tuple[float, str]]:
    """Return round values from 0 to `most` with their words."""
    raw = most / wanted
    power = 10 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    digits = max(0, -floor(log10(step)))
    return [(number * step, f"{number * step:.{digits}f}") for number in range(int(most / step) + 1)]
