"""What the page shows: newest results, what was before them, and what a reader must know before believing them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from results.features import Feature
from results.history import Moment, first_bad
from results.inputs import changes
from results.matrix import MatrixCell
from results.model import Status, Summary, Verdict
from results.store import Stored

# Remarks that say that a status may not be what it seems.
DOUBTS = ("edited", "stale")


class Column(NamedTuple):
    """One column of the front page. `qemu` is "" as long as nothing ran there."""

    platform: str
    hypervisor: str
    kernel: str
    qemu: str

    @property
    def slug(self) -> str:
        """A name for anchors and files: `g5.kvm-pr.fixed.10.0.13`."""
        return ".".join(part for part in self if part)


@dataclass(frozen=True)
class Past:
    """One execution of a cell; `changed` are the inputs that differ from the execution before it."""

    stored: Stored
    changed: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The run that it is from."""
        return self.stored.result.run

    @property
    def page(self) -> str:
        """The permanent place of its page."""
        return page_of(self.stored)

    @property
    def status(self) -> Status:
        """What it said."""
        return self.stored.result.status

    @property
    def verdict(self) -> Verdict:
        """How it ended."""
        return self.stored.result.verdict

    @property
    def started(self) -> datetime:
        """When it began, in UTC."""
        return self.stored.result.started


@dataclass(frozen=True)
class Turn:
    """Where a cell turned: the last execution `before` (None: it was never better), the first `after`.

    `changed` are the inputs that differ between the two.
    """

    before: Past | None
    after: Past
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """The result that stands for a cell, and its history, newest first."""

    stored: Stored
    past: tuple[Past, ...] = ()

    @property
    def result(self) -> Summary:
        """The result itself, as far as it can be believed."""
        return self.stored.result

    @property
    def cell_id(self) -> str:
        """The cell's id."""
        return self.result.cell.id

    @property
    def page(self) -> str:
        """The permanent place of its page."""
        return page_of(self.stored)

    @property
    def release(self) -> str:
        """The release of the kernel under test, "" if it is not known."""
        return self.stored.inputs.get("kernel.release", "")

    @property
    def marks(self) -> tuple[str, ...]:
        """Words of doubt beside the status."""
        return tuple(word for word in MatrixCell((self.stored,)).remarks if word in DOUBTS)

    @cached_property
    def turn(self) -> Turn | None:
        """Return the last change of status, None if there was none."""
        spoken = [past for past in self.past if past.stored.result.speaks]
        for after, before in pairwise(spoken):
            if after.status is not before.status:
                return _turn(before, after)
        return None

    @cached_property
    def first_bad(self) -> Turn | None:
        """Return where a cell that does not pass began not to; None if it passes."""
        places = {past.stored.directory: past for past in self.past}
        found = first_bad([Moment(past.stored) for past in reversed(self.past)])
        if found is None:
            return None
        return _turn(places[found.good.directory] if found.good else None, places[found.bad.directory])


def _turn(before: Past | None, after: Past) -> Turn:
    known = before is not None and before.stored.inputs and after.stored.inputs
    told = changes(before.stored.inputs, after.stored.inputs) if before and known else ()
    return Turn(before, after, tuple(map(str, told)))


def page_of(stored: Stored) -> str:
    """Return the permanent place of an execution's page, relative to the folder."""
    return f"{folder_of(stored)}/index.html"


def folder_of(stored: Stored) -> str:
    """Return the folder of an execution's page and evidence, relative to the page's own."""
    return f"runs/{stored.result.run}/{stored.directory.name}"


@dataclass(frozen=True)
class Site:
    """All that the page is made from. `made` is when, in UTC; `runs` are ids, oldest first."""

    made: datetime
    reference: str
    features: tuple[Feature, ...]
    entries: tuple[Entry, ...]
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
