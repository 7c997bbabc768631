"""The results of one cell in time: what changed between two of them, and which change broke it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.inputs import Change, changes
from results.model import Verdict
from results.stored import Stored

BAD = (Verdict.FAIL, Verdict.TIMEOUT)


@dataclass(frozen=True)
class Moment:
    """A result, and the inputs that changed since the result before it whose inputs are known."""

    stored: Stored
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class FirstBad:
    """Where a cell that does not pass now began not to: the last pass before, and what changed since.

    `good` is None if it never passed.
    """

    good: Stored | None
    bad: Stored
    changes: tuple[Change, ...] = ()


def moments(oldest_first: Sequence[Stored]) -> list[Moment]:
    """Return results of one cell with what changed between neighbours."""
    found: list[Moment] = []
    before: Stored | None = None
    for stored in oldest_first:
        known = bool(before and before.inputs and stored.inputs)
        found.append(Moment(stored, changes(before.inputs, stored.inputs) if before and known else ()))
        before = stored if stored.inputs else before
    return found


def first_bad(history: Sequence[Moment]) -> FirstBad | None:
    """Return the first bad result after the last pass; None if the cell passes, or never said anything.

    Trouble of ours, skips and edited results are passed over. Expectations do not matter: known to be bad is bad.
    """
    speaking = [moment.stored for moment in history if moment.stored.result.raw in (Verdict.PASS, *BAD)]
    good: Stored | None = None
    bad: Stored | None = None
    for stored in speaking:
        if stored.result.raw is Verdict.PASS:
            good, bad = stored, None
        elif bad is None:
            bad = stored
    if bad is None:
        return None
    told = changes(good.inputs, bad.inputs) if good and good.inputs and bad.inputs else ()
    return FirstBad(good, bad, told)
