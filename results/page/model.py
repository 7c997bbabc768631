"""What the page shows: newest results, what was before them, and what a reader must know before believing them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from results.features import Feature
from results.model import Result, Status, Verdict
from results.store import Stored


RANK = {Status.NO: 0, Status.CLOSE: 1, Status.YES: 2, Status.UNTESTED: -1, Status.NA: -1}


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
    """One execution of a cell as its history shows it.

    `changed` are the inputs that differ from the execution before it.
    """

    stored: Stored
    changed: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The run that it is from."""
        return self.stored.directory.parent.parent.name

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

    @property
    def speaks(self) -> bool:
        """Return whether this says anything about the product."""
        return self.status is not Status.UNTESTED


@dataclass(frozen=True)
class Turn:
    """Where a cell turned: the last execution `before` and the first `after`, and which inputs differ."""

    before: Past
    after: Past
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """The result that stands for a cell, its history (newest first), and doubts about it.

    `release` is the kernel's under test, "" if it is not known. `stale` are reasons why the status may no longer hold, `edited` is what does not fit its seal ("" if it fits).
    """

    stored: Stored
    release: str = ""
    past: tuple[Past, ...] = ()
    stale: tuple[str, ...] = ()
    edited: str = ""

    @property
    def result(self) -> Result:
        """The result itself."""
        return self.stored.result

    @property
    def cell_id(self) -> str:
        """The cell's id."""
        return self.result.cell.id

    @property
    def run(self) -> str:
        """The run that it is from."""
        return self.stored.directory.parent.parent.name

    @property
    def page(self) -> str:
        """The permanent place of its page."""
        return page_of(self.stored)

    @property
    def marks(self) -> tuple[str, ...]:
        """Words of doubt beside the status."""
        return (*(("edited",) if self.edited else ()), *(("stale",) if self.stale else ()))

    @property
    def is_worse(self) -> bool:
        """Whether the last change of status was one to the worse."""
        turn = self.turn
        return turn is not None and RANK[turn.after.status] < RANK[turn.before.status]

    @cached_property
    def turn(self) -> Turn | None:
        """Return the last change of status, None if there was none: for a cell that fails, the first bad change."""
        spoken = [past for past in self.past if past.speaks]
        for after, before in zip(spoken, spoken[1:], strict=False):
            if after.status is not before.status:
                return Turn(before, after, _between(self.past, before, after))
        return None


def _between(past: tuple[Past, ...], before: Past, after: Past) -> tuple[str, ...]:
    """Return what changed from one execution to a later one, over those between that said nothing."""
    names = [one.run for one in past]
    span = past[names.index(after.run) : names.index(before.run)]
    return tuple(dict.fromkeys(text for one in reversed(span) for text in one.changed))


def page_of(stored: Stored) -> str:
    """Return the permanent place of an execution's page, relative to the folder."""
    return f"{folder_of(stored)}/index.html"


def folder_of(stored: Stored) -> str:
    """Return the folder of an execution's page and evidence, relative to the page's own."""
    return f"runs/{stored.directory.parent.parent.name}/{stored.directory.name}"


@dataclass(frozen=True)
class Site:
    """All that the page is made from. `made` is when, in UTC; `runs` are ids, oldest first."""

    made: datetime
    reference: str
    features: tuple[Feature, ...]
    entries: tuple[Entry, ...]
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
