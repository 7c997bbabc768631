"""The matrix: features by platform, hypervisor, kernel and other axes, each cell from the results behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from results.features import Feature, Features, load_features
from results.model import SCHEMA, Status, Verdict
from results.seal import SealState
from results.shards import Shard
from results.stored import Stored
from results.triage import References, Triage, in_data, judge_stored, load_references, together

# Said wherever a status is shown: green on QEMU is not green on hardware.
SIMULATED = "simulated: real hypervisors on QEMU's machines, not on hardware"


class Column(NamedTuple):
    """One column of the matrix. `axes` is what differs from the platform's defaults: `qemu 7.2`, `firmware vof`."""

    platform: str
    hypervisor: str
    kernel: str
    axes: str = ""


@dataclass(frozen=True)
class MatrixCell:
    """All results of one feature in one column."""

    results: tuple[Stored, ...] = ()

    @property
    def status(self) -> Status:
        """Return what they say together."""
        return aggregate(stored.result.status for stored in self.results)

    @property
    def triage(self) -> Triage | None:
        """Return whose failure it is, None if there is none or no reference to say so."""
        return together(Triage(stored.triage) for stored in self.results if stored.triage)

    @property
    def remark(self) -> str:
        """Return `remarks` in one line."""
        return ", ".join(self.remarks)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a reader must know beside the status; nothing if there is no such thing.

        "known", "unexpected"; whose failure it is (results.triage); "1 of 2 ran"; "edited", "unsealed" (whether it is
        as it was cannot be told), "stale".
        """
        verdicts = {stored.result.verdict for stored in self.results}
        remarks = []
        if Verdict.XPASS in verdicts:
            remarks.append("unexpected")
        elif Verdict.XFAIL in verdicts:
            remarks.append("known")
        if (whose := self.triage) is not None:
            remarks.append(whose.value)
        counted = [stored for stored in self.results if stored.result.status is not Status.NA]
        ran = sum(stored.result.speaks for stored in counted)
        if 0 < ran < len(counted):
            remarks.append(f"{ran} of {len(counted)} ran")
        if any(stored.edited for stored in counted):
            remarks.append("edited")
        if any(stored.seal is SealState.UNSEALED and stored.result.speaks for stored in counted):
            remarks.append("unsealed")
        if any(stored.stale for stored in counted):
            remarks.append("stale")
        return tuple(remarks)


@dataclass(frozen=True)
class Matrix:
    """The page: rows in the order of `features` (all of them, ran or not), columns sorted."""

    reference: str
    features: tuple[Feature, ...]
    columns: tuple[Column, ...]
    results: tuple[Stored, ...]

    def cell(self, feature: str, column: Column) -> MatrixCell:
        """Return the results of one feature in one column, perhaps none."""
        return MatrixCell(tuple(self._by_place.get((feature, column), ())))

    @cached_property
    def _by_place(self) -> dict[tuple[str, Column], list[Stored]]:
        found: dict[tuple[str, Column], list[Stored]] = {}
        for stored in self.results:
            found.setdefault((stored.result.cell.feature, column_of(stored)), []).append(stored)
        return found

    def remarkable(self) -> list[Stored]:
        """Return the results that need a word: all but plain `yes`, `n/a` and cells left out by the plan."""
        return [stored for stored in self.results if stored.result.verdict not in (Verdict.PASS, Verdict.SKIP)]

    def stale(self) -> dict[str, list[Stored]]:
        """Return the stale results by their reason."""
        found: dict[str, list[Stored]] = {}
        for stored in self.results:
            for reason in stored.stale:
                found.setdefault(reason, []).append(stored)
        return found

    def is_reference(self, column: Column) -> bool:
        """Return whether others are judged by what a column says."""
        return any(stored.reference for stored in self.results if column_of(stored) == column)

    def runs(self) -> list[str]:
        """Return the ids of the runs that the results are from, oldest first."""
        return sorted({stored.result.run for stored in self.results})


def column_of(stored: Stored) -> Column:
    """Return the column that a result stands in."""
    cell = stored.result.cell
    axes = ", ".join(f"{name} {value}" for name, value in sorted(cell.axes.items()))
    return Column(cell.platform, cell.hypervisor, cell.kernel, axes)


def aggregate(statuses: Iterable[Status]) -> Status:
    """Return the common status of several: what did not run has no vote; different opinions are `close`."""
    found = set(statuses)
    spoken = found - {Status.UNTESTED, Status.NA}
    if not spoken:
        return Status.NA if found == {Status.NA} else Status.UNTESTED
    return spoken.pop() if len(spoken) == 1 else Status.CLOSE


def build_matrix(
    results: Sequence[Stored], features: Features | None = None, references: References | None = None
) -> Matrix:
    """Arrange results as a matrix; features that no list knows get rows of their own at the end.

    Each failure is held against `references` (default: those of the project).
    """
    known = features or load_features()
    results = judge_stored(results, load_references() if references is None else references)
    names = set(known.names())
    others = sorted({stored.result.cell.feature for stored in results} - names)
    rows = known.features + tuple(Feature(name=name, title=name.replace("-", " ")) for name in others)
    order = {feature.name: number for number, feature in enumerate(rows)}
    return Matrix(
        reference=known.reference,
        features=rows,
        columns=tuple(sorted({column_of(stored) for stored in results})),
        results=tuple(
            sorted(
                results,
                key=lambda stored: (order[stored.result.cell.feature], column_of(stored), stored.result.cell.id),
            )
        ),
    )


def to_json(matrix: Matrix, notes: Sequence[str] = (), shards: Sequence[Shard] = ()) -> dict[str, Any]:
    """Return the matrix as plain data, one entry for each result. Paths are absolute, `elapsed` is in seconds.

    `shards` are those that the results are of, if they are not of a whole plan.
    """
    return {
        "schema": SCHEMA,
        "simulated": True,
        "runs": matrix.runs(),
        "shards": [shard.model_dump(mode="json") for shard in shards],
        "features": [feature.model_dump(mode="json") for feature in matrix.features],
        "cells": [_cell(stored) for stored in matrix.results],
        "notes": list(notes),
    }


def _cell(stored: Stored) -> dict[str, Any]:
    result = stored.result
    return {
        "id": result.cell.id,
        **result.cell.model_dump(mode="json"),
        "status": result.status.value,
        "verdict": result.verdict.value,
        "raw": result.raw.value,
        "message": result.message,
        "run": result.run,
        "started": result.started.isoformat(),
        "elapsed": result.elapsed,
        "evidence": str(stored.evidence),
        "directory": str(stored.directory),
        "declared": result.declared,
        "attempt": stored.attempt,
        "retried": stored.retried,
        "inputs": dict(stored.inputs),
        "seal": stored.seal.value,
        "faults": list(stored.faults),
        "stale": list(stored.stale),
        "reference": stored.reference,
        "triage": in_data(result.status, stored.triage, reference=stored.reference),
        "judged_by": list(stored.judged_by),
        "expectation": None if result.expectation is None else result.expectation.model_dump(mode="json"),
    }
