"""From the steps that ran to the result: the one place where verdict, status and expectation meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from results.expectations import Expectations
from results.model import CellId, Result, Scalar, Status, StepResult, Verdict, deciding_step, raw_verdict, status


def conclude(
    *,
    run: str,
    cell: CellId,
    declared: int,
    steps: Sequence[StepResult],
    started: datetime,
    elapsed: float,
    facts: Mapping[str, Scalar],
    expectations: Expectations,
    infra: str | None = None,
    today: date | None = None,
) -> Result:
    """Return the result of a cell that ran for `elapsed` seconds.

    `infra` is the message of a trouble of ours that no step shows (the host ran out of memory); with it the
    cell says nothing about the product.
    """
    raw, state = raw_verdict(steps, declared), status(steps, declared)
    decisive = deciding_step(steps)
    if decisive is not None:
        told = f"step {decisive.index + 1}, {decisive.title or decisive.verb}: {decisive.message or decisive.verdict}"
        if more := [step.title or step.verb for step in steps if step.verdict is not Verdict.PASS and step != decisive]:
            told += f" (and {len(more)} more did not pass: {', '.join(more)})"
    else:
        told = "" if raw is Verdict.PASS else f"only {len(steps)} of {declared} steps ran"
    if infra is not None:
        raw, state, told = Verdict.INFRA, Status.UNTESTED, infra
    judgement = expectations.judge(
        cell, raw, facts, today or datetime.now(UTC).date(), decisive.section if decisive else None, steps=steps
    )
    return Result(
        run=run,
        cell=cell,
        verdict=judgement.verdict,
        raw=raw,
        status=state,
        message="; ".join(part for part in (told, judgement.message) if part),
        started=started,
        elapsed=elapsed,
        declared=declared,
        steps=tuple(steps),
        facts=dict(facts),
        expectation=judgement.reason,
    )


def not_run(*, run: str, cell: CellId, declared: int, reason: str, applicable: bool = True) -> Result:
    """Return the result of a cell that the planner left out for `reason`.

    `applicable=False` says that the question makes no sense there (`n/a`), True that it stays open
    (`untested`: something it needs is missing).
    """
    return Result(
        run=run,
        cell=cell,
        verdict=Verdict.SKIP,
        raw=Verdict.SKIP,
        status=Status.UNTESTED if applicable else Status.NA,
        message=reason,
        started=datetime.now(UTC),
        elapsed=0.0,
        declared=declared,
    )
