"""Which results say nothing about today any more: too old, or made from other inputs than today's plan would use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from base.errors import UsageError
from results.inputs import Today
from results.stored import Stored

VARIABLE = "TESTBED_EXPIRY"
DAYS = 30.0


def expiry(days: float | None = None) -> timedelta:
    """Return after how long a result expires: `days`, else `TESTBED_EXPIRY`, else DAYS. Raises UsageError."""
    text = os.environ.get(VARIABLE, str(DAYS)) if days is None else str(days)
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        where = VARIABLE if days is None else "--expiry"
        raise UsageError(f"{where} is '{text}', not a number of days", hint="30 is the default")
    return timedelta(days=found)


def judge_staleness(
    results: Iterable[Stored], today: Today | None = None, *, now: datetime | None = None, days: float | None = None
) -> list[Stored]:
    """Return results with their `stale` set. `today` is what today's plan would use (None: only age counts).

    A result that says nothing, or that the plan says is not applicable, cannot get stale. Raises UsageError.
    """
    limit = expiry(days)
    moment = now or datetime.now(UTC)
    return [replace(stored, stale=_reasons(stored, today, moment, limit)) for stored in results]


def _reasons(stored: Stored, today: Today | None, now: datetime, limit: timedelta) -> tuple[str, ...]:
    result = stored.result
    if not result.speaks or not result.declared:
        return ()
    old = [f"older than {limit.total_seconds() / 86400:g} days"] if now - result.started > limit else []
    other = today.changes(result.cell.id, stored.inputs) if today else ()
    return (*old, *(f"{change.name} changed since" for change in other))
