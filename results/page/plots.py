"""Small line charts of a time over runs, as shapes for an SVG picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from results.page.model import Entry
from results.page.timeline import ticks

WIDTH, HEIGHT = 640, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 26
# More lines than this cannot be told apart; the table has them all.
SERIES_MOST = 8
RUNS_MOST = 30

# An execution: run, page ("" if it has none), times by name and unit.
Measurement = tuple[str, str, Mapping[str, float]]
# Those of a cell, oldest first.
Measured = Sequence[Measurement]


@dataclass(frozen=True)
class Point:
    """A measurement in the picture."""

    x: float
    y: float
    title: str
    href: str = ""


@dataclass(frozen=True)
class Series:
    """The measurements of one cell, oldest first, and the numbers that a table shows of them."""

    name: str
    page: str
    values: tuple[float, ...]
    points: tuple[Point, ...]

    @property
    def line(self) -> str:
        """The points as SVG has them."""
        return " ".join(f"{point.x},{point.y}" for point in self.points)

    @property
    def newest(self) -> float:
        """The newest measurement."""
        return self.values[-1]

    @property
    def median(self) -> float:
        """The median of all."""
        return median(self.values)


@dataclass(frozen=True)
class Chart:
    """One measure of one feature: `name` and `unit`, its series, and the scale on the left."""

    name: str
    unit: str
    series: tuple[Series, ...]
    axis: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM
    drawn: int = SERIES_MOST

    @property
    def has_history(self) -> bool:
        """Whether there is more than one run to compare."""
        return any(len(series.values) > 1 for series in self.series)


def charts_of(entries: Sequence[Entry], measured: Mapping[str, Measured]) -> list[Chart]:
    """Return a chart for each time that the cells of a feature have; `measured` has them by cell."""
    found: defaultdict[str, dict[str, list[tuple[str, float, str]]]] = defaultdict(dict)
    pages: dict[str, str] = {}
    for entry in entries:
        pages[entry.cell_id] = entry.page
        for run, page, times in measured.get(entry.cell_id, ()):
            for name, value in times.items():
                found[name].setdefault(entry.cell_id, []).append((run, value, page))
    return [_chart(name, cells, pages) for name, cells in sorted(found.items())]


def _chart(full: str, cells: dict[str, list[tuple[str, float, str]]], pages: dict[str, str]) -> Chart:
    name, _, unit = full.rpartition(", ")
    runs = sorted({run for values in cells.values() for run, _, _ in values})
    most = max(value for values in cells.values() for _, value, _ in values) or 1.0
    room = WIDTH - LEFT - RIGHT
    places = {run: round(LEFT + room * (number + 0.5) / len(runs), 1) for number, run in enumerate(runs)}

    def height(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM), 1)

    series = tuple(
        Series(
            cell,
            pages[cell],
            tuple(value for _, value, _ in values),
            tuple(
                Point(places[run], height(value), f"{cell}: {value:.4g} {unit} in {run}", page)
                for run, value, page in values
            ),
        )
        for cell, values in sorted(cells.items())
    )
    shown = sorted({runs[0], runs[-1]})
    return Chart(
        name,
        unit,
        series,
        tuple((height(value), text) for value, text in ticks(most, 4)),
        tuple((places[run], f"{run[:4]}-{run[4:6]}-{run[6:8]}") for run in shown),
    )
