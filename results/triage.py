"""Whose failure is it? A cell that fails is held against the same scenario on a reference, where all is at home.

Laws: what passes, or says nothing, is not judged; neither is a reference; only what is said on references, of the same
scenario, decides; the order of results does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, model_validator

from base.yamlmodel import Model, load
from results.expectations import Pattern, matches
from results.model import Status
from results.stored import Stored

DEFAULT = Path(__file__).with_name("references.yaml")
FAILING = (Status.CLOSE, Status.NO)


class Triage(StrEnum):
    """Whose failure it is, as far as a reference can tell."""

    PORT = "port failure"
    SHARED = "test or upstream"
    UNJUDGED = "unjudged"


ABOUT = {
    Triage.PORT: "passes on the reference: what fails is the port",
    Triage.SHARED: "fails on the reference as well: the test, or what all ports share",
    Triage.UNJUDGED: "has not run on the reference, or makes no sense there",
}


class Reference(Model):
    """Columns that others are compared with, by shell patterns."""

    platform: Pattern = "*"
    hypervisor: Pattern = "*"
    kernel: Pattern = "*"
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _means_something(self) -> Reference:
        if self.platform == "*" and self.hypervisor == "*":
            raise ValueError("name a `platform` or a `hypervisor`: with a reference for everything nothing is judged")
        return self


class _File(Model):
    references: tuple[Reference, ...] = ()


class Place(NamedTuple):
    """Where a result stands: its scenario, and the parts of its column that references name."""

    scenario: str
    platform: str
    hypervisor: str
    kernel: str

    @classmethod
    def of_id(cls, cell_id: str) -> Place:
        """Return the place of a cell by its id, whose parts have no dots (results.model.CellId)."""
        return cls(*(cell_id.split(".") + 3 * [""])[:4])


@dataclass(frozen=True)
class Judged:
    """What was found for a cell, and the cells on references that said it."""

    triage: Triage
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class References:
    """All references."""

    entries: tuple[Reference, ...] = ()

    def has(self, place: Place) -> bool:
        """Return whether a place is in the column of a reference."""
        return any(
            matches(one.platform, place.platform)
            and matches(one.hypervisor, place.hypervisor)
            and matches(one.kernel, place.kernel)
            for one in self.entries
        )


def load_references(path: Path = DEFAULT) -> References:
    """Read the references. Raises YamlError with every problem as `file:line:column`, UsageError."""
    return References(load(path, _File).references)


def triage(status: Status, references: Collection[Status]) -> Triage | None:
    """Judge a status by those of the same scenario on references; None for one that is no failure."""
    if status not in FAILING:
        return None
    if Status.YES in references:
        return Triage.PORT
    return Triage.SHARED if any(one in FAILING for one in references) else Triage.UNJUDGED


def together(found: Iterable[Triage | None]) -> Triage | None:
    """Return what several cells of a row come to: one that is the port's decides, then one that nobody judged."""
    there = set(found)
    return next((one for one in (Triage.PORT, Triage.UNJUDGED, Triage.SHARED) if one in there), None)


def judge(statuses: Mapping[str, Status], references: References) -> dict[str, Judged]:
    """Judge all that fails among cells, by id. Nothing is judged where no cell is a reference's."""
    places = {cell: Place.of_id(cell) for cell in statuses}
    on_reference = {cell for cell, place in places.items() if references.has(place)}
    said: defaultdict[str, dict[str, Status]] = defaultdict(dict)
    for cell in on_reference:
        if statuses[cell] in (Status.YES, *FAILING):
            said[places[cell].scenario][cell] = statuses[cell]
    if not on_reference:
        return {}
    found = {}
    for cell in statuses.keys() - on_reference:
        by = said[places[cell].scenario]
        if (one := triage(statuses[cell], by.values())) is not None:
            found[cell] = Judged(one, tuple(sorted(by)))
    return found


def judge_stored(results: Iterable[Stored], references: References) -> list[Stored]:
    """Return results with what is found of each, and whether it is a reference's."""
    known = list(results)
    judged = judge({one.result.cell.id: one.result.status for one in known}, references)
    marked = []
    for stored in known:
        found = judged.get(stored.result.cell.id)
        is_reference = references.has(Place.of_id(stored.result.cell.id))
        marked.append(
            replace(
                stored,
                reference=is_reference,
                triage=found.triage.value if found else "",
                judged_by=found.by if found else (),
            )
        )
    return marked


def in_data(status: Status, found: str, *, reference: bool = False) -> str | None:
    """Return what data says of a status: also where there is no reference, a failure is `unjudged`."""
    return found or (Triage.UNJUDGED.value if status in FAILING and not reference else None)
