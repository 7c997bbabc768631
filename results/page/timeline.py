"""Steps, consoles and QMP of a cell on one axis, as shapes for an SVG picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log1p, log10

from results.page.clock import Mark, TimeLine

# In the picture's own units, which its style scales to the width that is there.
LEFT, WIDTH, RIGHT = 128, 1000, 14
LANE = 22
BUCKETS = 220


@dataclass(frozen=True)
class Bar:
    """A step: where it stands, and what it says on touch."""

    x: float
    width: float
    verdict: str
    number: int
    title: str


@dataclass(frozen=True)
class Tick:
    """A moment on a lane: `height` in 0..1 is how much was printed, `href` where it can be read."""

    x: float
    height: float = 1.0
    title: str = ""
    event: bool = False


@dataclass(frozen=True)
class Lane:
    """One row: a console (`ticks` with heights) or a QMP transcript (`marks`)."""

    name: str
    y: float
    ticks: tuple[Tick, ...] = ()
    marks: tuple[Tick, ...] = ()


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


@dataclass(frozen=True)
class Span:
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
    if most <= 0:
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
            lanes.append(Lane(name, y, ticks=_density(line.times, most)))
            y += LANE
    for name, marks in qmp.items():
        if marks:
            shapes = tuple(Tick(at(mark.t), title=f"{mark.text} at {mark.t:.2f} s", event=mark.event) for mark in marks)
            lanes.append(Lane(f"qmp {name}", y, marks=shapes))
            y += LANE
    return Picture(y + 4, bars, tuple(lanes), tuple((at(t), text) for t, text in ticks(most)))


def _density(times: Sequence[float], most: float) -> tuple[Tick, ...]:
    """Return how many lines came in each part of the time; a logarithm, for one line counts as well as a thousand."""
    counts = [0] * BUCKETS
    for t in times:
        counts[min(BUCKETS - 1, max(0, int(t / most * BUCKETS)))] += 1
    full = log1p(max(counts))
    step = (WIDTH - LEFT - RIGHT) / BUCKETS
    return tuple(
        Tick(round(LEFT + number * step, 1), round(0.15 + 0.85 * log1p(count) / full, 2))
        for number, count in enumerate(counts)
        if count
    )


def ticks(most: float, wanted: int = 8) -> list[tuple[float, str]]:
    """Return round values from 0 to `most` with their words."""
    raw = most / wanted
    power = 10 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    digits = max(0, -floor(log10(step)))
    return [(number * step, f"{number * step:.{digits}f}") for number in range(int(most / step) + 1)]
