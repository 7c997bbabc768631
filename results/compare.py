"""Two sides of results, cell by cell: what broke, what was fixed, and which inputs changed beside it.

Laws: a side compared with itself has no differences; the two sides exchanged give the mirror image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from base.errors import EXIT_OK, EXIT_UNEXPECTED
from results.inputs import Change, Inputs, changes, product_key
from results.model import Status, Verdict
from results.triage import References, Triage, judge

BAD = (Verdict.FAIL, Verdict.TIMEOUT)
# What is known of cells beside the two sides: pairs of inputs and raw verdict.
Known = Mapping[str, Iterable[tuple[Inputs, Verdict]]]


class Kind(StrEnum):
    """What became of a cell between two sides."""

    BROKEN = "newly broken"
    FIXED = "newly fixed"
    APPEARED = "only in the second"
    VANISHED = "only in the first"
    STILL = "still broken"
    FLAKY = "flaky"
    INFRA = "infra"
    SAME = "same"


# Each kind seen from the other side; the rest look the same from both.
MIRROR = {
    Kind.BROKEN: Kind.FIXED,
    Kind.FIXED: Kind.BROKEN,
    Kind.APPEARED: Kind.VANISHED,
    Kind.VANISHED: Kind.APPEARED,
}
ABOUT = {
    Kind.BROKEN: "passed in the first, or failed there only as expected; not in the second",
    Kind.FIXED: "passes now, or fails only as expected",
    Kind.APPEARED: "no result in the first",
    Kind.VANISHED: "no result in the second",
    Kind.STILL: "passes in neither",
    Kind.FLAKY: "passes and fails with the same inputs",
    Kind.INFRA: "trouble of ours on one side at least: nothing can be told",
}


@dataclass(frozen=True)
class Outcome:
    """One cell on one side. `raw` is the verdict before expectations; `evidence` is "" where it is elsewhere.

    A result that was edited after it was finished is `infra`, like other trouble of ours.
    """

    cell: str
    verdict: Verdict
    raw: Verdict
    status: Status
    message: str = ""
    run: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    evidence: str = ""
    retried: bool = False
    elapsed: float = 0.0

    @property
    def good(self) -> bool:
        """Whether it passed."""
        return self.raw is Verdict.PASS

    @property
    def bad(self) -> bool:
        """Whether the product did not do what it should, expected or not."""
        return self.raw in BAD

    @property
    def expected(self) -> bool:
        """Whether it failed as an expectation says, and not otherwise."""
        return self.verdict is Verdict.XFAIL


@dataclass(frozen=True)
class Side:
    """Results by cell, under the name by which they were asked for; `notes` tell what is missing from them."""

    name: str
    outcomes: Mapping[str, Outcome]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A cell on both sides; `changes` are the inputs that differ, as far as both sides know theirs.

    `triage` is whose failure the second side's is; None without one, or without a reference on any side.
    """

    cell: str
    kind: Kind
    before: Outcome | None
    after: Outcome | None
    changes: tuple[Change, ...] = ()
    triage: Triage | None = None

    @property
    def differs(self) -> bool:
        """Whether the two sides say different things."""
        if self.kind in MIRROR:
            return True
        if self.before is None or self.after is None:
            return False
        return (self.before.raw, self.before.status) != (self.after.raw, self.after.status)

    @property
    def known(self) -> bool:
        """Whether an expectation covers what the second side says."""
        return self.after is not None and self.after.verdict in (Verdict.XFAIL, Verdict.XPASS)

    @property
    def new_failure(self) -> bool:
        """Whether the second side fails, unexpectedly, where nothing says that the first did.

        That is what broke, and what fails without a word of the first side: not run there, or trouble of ours.
        """
        if self.kind in (Kind.FLAKY, Kind.STILL) or self.after is None or self.known:
            return False
        return self.after.bad


@dataclass(frozen=True)
class Comparison:
    """All cells of two sides."""

    before: Side
    after: Side
    cells: tuple[Difference, ...]

    def of(self, kind: Kind) -> list[Difference]:
        """Return the cells of one kind, by name."""
        return [cell for cell in self.cells if cell.kind is kind]

    @property
    def differences(self) -> list[Difference]:
        """The cells of which the two sides say different things."""
        return [cell for cell in self.cells if cell.differs]

    @property
    def new_failures(self) -> list[Difference]:
        """The cells that decide the exit code."""
        return [cell for cell in self.cells if cell.new_failure]

    @property
    def exit_code(self) -> int:
        """1 if there are new failures, else 0: what was broken before, or fails now and then, turns nothing red."""
        return EXIT_UNEXPECTED if self.new_failures else EXIT_OK


def suspects(before: Side, after: Side) -> list[str]:
    """Return the cells that fail on a side: those of which `compare` wants to know the history."""
    return sorted({one.cell for side in (before, after) for one in side.outcomes.values() if one.bad})


def compare(
    before: Side,
    after: Side,
    known: Known | None = None,
    references: References | None = None,
    beside: Side | None = None,
) -> Comparison:
    """Compare two sides. `known` is what else is known of the cells, which tells what is flaky.

    Failures of the second side are held against `references` (default: none), also those that only the first side has,
    or what stands `beside` both.
    """
    names = sorted(before.outcomes.keys() | after.outcomes.keys())
    sides = [side for side in (beside, before, after) if side is not None]
    statuses = {name: one.status for side in sides for name, one in side.outcomes.items()}
    judged = judge(statuses, references or References())
    cells = tuple(
        replace(_compare(name, before.outcomes.get(name), after.outcomes.get(name), known or {}), triage=whose)
        for name in names
        for whose in [judged[name].triage if name in judged and name in after.outcomes else None]
    )
    return Comparison(before, after, cells)


def common_changes(cells: Sequence[Difference]) -> tuple[Change, ...]:
    """Return the changes that all of some cells have: told once, not beside each."""
    sets = [set(cell.changes) for cell in cells]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _compare(name: str, before: Outcome | None, after: Outcome | None, known: Known) -> Difference:
    told = changes(before.inputs, after.inputs) if before and after and before.inputs and after.inputs else ()
    return Difference(name, _kind(name, before, after, known), before, after, told)


def _kind(name: str, before: Outcome | None, after: Outcome | None, known: Known) -> Kind:
    # What was left out on purpose is as good as absent.
    here, there = (one if one and one.raw is not Verdict.SKIP else None for one in (before, after))
    if here is None or there is None:
        return Kind.APPEARED if there else Kind.VANISHED if here else Kind.SAME
    if Verdict.INFRA in (here.raw, there.raw):
        return Kind.INFRA
    if (here.bad or there.bad) and _flaky(name, here, there, known):
        return Kind.FLAKY
    if here.bad and there.bad:
        # Of a checklist some steps may be known to fail: another one that fails is new.
        if here.expected == there.expected:
            return Kind.STILL
        return Kind.BROKEN if here.expected else Kind.FIXED
    if here.bad:
        return Kind.FIXED
    return Kind.BROKEN if there.bad else Kind.SAME


def _flaky(name: str, before: Outcome, after: Outcome, known: Known) -> bool:
    """Whether the inputs of one of the sides have given both verdicts."""
    seen: dict[str, set[bool]] = {}
    outcomes = [(before.inputs, before.raw), (after.inputs, after.raw), *known.get(name, ())]
    for inputs, raw in outcomes:
        key = product_key(inputs)
        if key is not None and raw in (Verdict.PASS, *BAD):
            seen.setdefault(key, set()).add(raw is Verdict.PASS)
    mine = {product_key(before.inputs), product_key(after.inputs)} - {None}
    return any(len(seen[key]) == 2 for key in mine if key is not None)
