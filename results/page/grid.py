"""The front page's table: features by columns, and what each place of it says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from results.features import Feature
from results.matrix import MatrixCell
from results.model import OWN, Status, Verdict
from results.page.model import DOUBTS, Column, Entry, Site
from results.triage import Triage

UNEXPECTED = (Verdict.FAIL, Verdict.TIMEOUT, Verdict.XPASS, Verdict.INFRA)


@dataclass(frozen=True)
class Place:
    """One place of the table: the entries of a feature in a column, perhaps none."""

    entries: tuple[Entry, ...] = ()

    @cached_property
    def _cell(self) -> MatrixCell:
        return MatrixCell(tuple(entry.stored for entry in self.entries))

    @cached_property
    def status(self) -> Status:
        """Return what they say together."""
        return self._cell.status

    @property
    def remark(self) -> str:
        """Return what a reader must know beside the status, but for its marks."""
        return ", ".join(word for word in self._cell.remarks if word not in DOUBTS)

    @property
    def marks(self) -> tuple[str, ...]:
        """Return words of doubt beside the status."""
        return tuple(word for word in self._cell.remarks if word in DOUBTS)

    @property
    def triage(self) -> Triage | None:
        """Return whose failure it is, None if there is none or no reference to say so."""
        return self._cell.triage

    @property
    def date(self) -> str:
        """Return the day of the oldest of them: the whole is not newer than that."""
        return min((entry.result.started.date().isoformat() for entry in self.entries), default="")

    @property
    def release(self) -> str:
        """Return the releases of the kernel under test."""
        return ", ".join(sorted({entry.release for entry in self.entries if entry.release}))

    @property
    def unexpected(self) -> bool:
        """Return whether one of them is not as expected."""
        return any(entry.result.verdict in UNEXPECTED for entry in self.entries)


EMPTY = Place()


@dataclass(frozen=True)
class Grid:
    """Rows, columns, and the places where something is known.

    `kernels` are the releases of the kernel under test that are most common in each column, "" if none is known;
    `references` are the columns by which others are judged.
    """

    features: tuple[Feature, ...]
    columns: tuple[Column, ...]
    places: Mapping[tuple[str, Column], Place]
    kernels: Mapping[Column, str]
    references: frozenset[Column] = frozenset()

    def place(self, feature: Feature, column: Column) -> Place:
        """Return the place of a feature in a column."""
        return self.places.get((feature.name, column), EMPTY)

    def row(self, feature: Feature) -> list[tuple[Column, Place]]:
        """Return all places of a feature."""
        return [(column, self.place(feature, column)) for column in self.columns]


def build_grid(site: Site) -> Grid:
    """Arrange a site's entries.

    A cell that the plan left out knows no QEMU: it stands in every column of its platform, hypervisor and kernel.
    One that broke off before QEMU told its version stands with those for which the same was asked.
    """
    placed = _placed(site.entries)
    columns = _columns(placed.values())
    alike: defaultdict[tuple[str, str, str], list[Column]] = defaultdict(list)
    for column in columns:
        alike[column[:3]].append(column)
    found: defaultdict[tuple[str, Column], list[Entry]] = defaultdict(list)
    releases: defaultdict[Column, Counter[str]] = defaultdict(Counter)
    for entry in site.entries:
        own = placed[entry.cell_id]
        for column in [own] if own.qemu else alike[own[:3]]:
            found[entry.result.cell.feature, column].append(entry)
        if entry.release:
            releases[own][entry.release] += 1
    return Grid(
        site.features,
        columns,
        {key: Place(tuple(entries)) for key, entries in found.items()},
        {column: counted.most_common(1)[0][0] for column, counted in releases.items()}
        | {column: "" for column in columns if column not in releases},
        frozenset(placed[entry.cell_id] for entry in site.entries if entry.stored.reference),
    )


def _placed(entries: Iterable[Entry]) -> dict[str, Column]:
    """Return the column of each cell; with no QEMU if it stands in all of them."""
    found = [(entry, _column(entry), _asked(entry)) for entry in entries]
    told = {(column[:3], asked): column for _, column, asked in found if column.qemu}
    placed = {}
    for entry, column, asked in found:
        everywhere = not asked and entry.result.status is Status.NA
        unknown = not column.qemu and not everywhere
        known = told.get((column[:3], asked), column._replace(qemu=asked))
        placed[entry.cell_id] = known if unknown else column
    return placed


def _asked(entry: Entry) -> str:
    return entry.result.cell.axes.get("qemu", "")


def _column(entry: Entry) -> Column:
    cell = entry.result.cell
    # A file of the user's is not what the project has in its place.
    brought = sorted(axis for axis, value in cell.axes.items() if value == OWN)
    qemu = f"{cell.qemu}-{OWN}" if cell.qemu and "qemu" in brought else cell.qemu
    kernel = "".join([cell.kernel, *(f"-{axis}-{OWN}" for axis in brought if axis != "qemu")])
    return Column(cell.platform, cell.hypervisor, kernel, qemu)


def _columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    all_columns = set(columns)
    ran = {column[:3] for column in all_columns if column.qemu}
    return tuple(sorted(column for column in all_columns if column.qemu or column[:3] not in ran))
