"""A comparison for people and programs: text for a terminal, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from results.compare import ABOUT, Comparison, Difference, Kind, Outcome, common_changes
from results.inputs import Change
from results.model import SCHEMA
from results.render import count, one_line, plain
from results.triage import in_data

# What is worth a look first; `same` is only counted.
ORDER = (Kind.BROKEN, Kind.FLAKY, Kind.INFRA, Kind.FIXED, Kind.APPEARED, Kind.VANISHED, Kind.STILL)
# Characters of a message, and changed inputs beside a cell, in text for a terminal.
MESSAGE, INPUTS = 160, 6
TABLE = ("| cell | before | now | changed | why |", "|---|---|---|---|---|")
# Lines of a summary: a screen of 24 with what stands around it.
SCREEN = 20


def headline(comparison: Comparison) -> str:
    """Return how many cells there are of each kind, in one line."""
    found = [(len(comparison.of(kind)), kind) for kind in (*ORDER, Kind.SAME)]
    told = ", ".join(f"{number} {kind}" for number, kind in found if number) or "no results on either side"
    new = len(comparison.new_failures)
    return f"{told}: {count(new, 'new failure') if new else 'no new failures'}"


def text(comparison: Comparison) -> str:
    """Return all of a comparison but what is the same, as text for a terminal."""
    lines = [f"{comparison.before.name} -> {comparison.after.name}", headline(comparison), *_notes(comparison)]
    for kind in ORDER:
        if cells := comparison.of(kind):
            lines += ["", f"{kind} ({ABOUT[kind]}):"]
            shared = common_changes(cells) if len(cells) > 1 else ()
            lines += [f"  all of them: {change}" for change in shared]
            for cell in cells:
                lines += _entry(cell, shared)
    return "\n".join(lines) + "\n"


def summary(comparison: Comparison, lines: int = SCREEN) -> str:
    """Return what decides, in at most so many lines: new failures first, each with what changed, then the counts."""
    shown = [headline(comparison), *_notes(comparison)[:3]]
    new = comparison.new_failures
    shared = common_changes(new) if len(new) > 1 else ()
    body: list[str] = []
    if new:
        body += [f"  all of them: {change}" for change in shared[:INPUTS]]
    for cell in new:
        body += _entry(cell, shared)
    for kind in (Kind.FLAKY, Kind.INFRA, Kind.FIXED):
        body += [_line(cell, f"{kind}: ") for cell in comparison.of(kind) if not cell.new_failure]
    room = lines - len(shown) - 1
    if len(body) > room:
        hidden = len(body) - room
        body = [*body[:room], f"  ... {hidden} lines more: ./testbed compare {_quoted(comparison)}"]
    return "\n".join([*shown, *body]) + "\n"


def markdown(comparison: Comparison) -> str:
    """Return a comparison as Markdown, for a job's summary or a comment."""
    verdict = "no new failures" if not comparison.new_failures else count(len(comparison.new_failures), "new failure")
    lines = [f"### {plain(comparison.before.name)} → {plain(comparison.after.name)}: {verdict}", ""]
    lines += [f"{headline(comparison)}", *(f"- note: {plain(note)}" for note in _notes(comparison))]
    for kind in ORDER:
        cells = comparison.of(kind)
        if not cells:
            continue
        lines += [
            "",
            f"**{kind}** ({ABOUT[kind]})",
            "",
            "| cell | before | now | changed | why |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(cell) for cell in cells]
    return "\n".join(lines) + "\n"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data: `schema`, `before`, `after`, `counts`, `new_failures`, `cells` that differ."""
    return {
        "schema": SCHEMA,
        "before": comparison.before.name,
        "after": comparison.after.name,
        "notes": _notes(comparison),
        "counts": {kind.value: len(comparison.of(kind)) for kind in (*ORDER, Kind.SAME)},
        "new_failures": [cell.cell for cell in comparison.new_failures],
        "cells": [_data(cell) for kind in ORDER for cell in comparison.of(kind)],
    }


def _notes(comparison: Comparison) -> list[str]:
    return [f"{side.name}: {note}" for side in (comparison.before, comparison.after) for note in side.notes]


def _entry(cell: Difference, shared: Sequence[Change]) -> list[str]:
    lines = [_line(cell)]
    if cell.kind in (Kind.STILL, Kind.VANISHED):
        return lines
    own = [change for change in cell.changes if change not in shared]
    lines += [f"      {change}" for change in own[:INPUTS]]
    if len(own) > INPUTS:
        lines.append(f"      and {len(own) - INPUTS} more inputs")
    if not cell.changes and cell.kind in (Kind.BROKEN, Kind.FIXED):
        lines.append("      inputs: not known of both sides")
    if cell.after and cell.after.bad and cell.after.evidence:
        lines.append(f"      {cell.after.evidence}")
    return lines


def _line(cell: Difference, prefix: str = "") -> str:
    seen = cell.after or cell.before
    message = one_line(seen.message)[:MESSAGE] if seen and not seen.good else ""
    known = " (known)" if cell.known else ""
    again = " (second attempt)" if cell.after and cell.after.retried else ""
    told = f": {message}" if message else ""
    return f"  {prefix}{cell.cell}: {_status(cell.before)} -> {_status(cell.after)}{known}{_whose(cell)}{again}{told}"


def _whose(cell: Difference) -> str:
    return f" ({cell.triage})" if cell.triage else ""


def _status(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    return outcome.status.value if outcome.status.value != "untested" else outcome.raw.value


def _row(cell: Difference) -> str:
    seen = cell.after or cell.before
    message = plain(seen.message)[: 2 * MESSAGE] if seen and not seen.good else ""
    changed = "<br>".join(plain(str(change)) for change in cell.changes[:INPUTS])
    now = f"{_status(cell.after)}{' (known)' if cell.known else ''}{_whose(cell)}"
    return f"| `{cell.cell}` | {_status(cell.before)} | {now} | {changed} | {message} |"


def _data(cell: Difference) -> dict[str, Any]:
    return {
        "id": cell.cell,
        "kind": cell.kind.value,
        "new_failure": cell.new_failure,
        "known": cell.known,
        "triage": in_data(cell.after.status, cell.triage or "") if cell.after else None,
        "before": _side(cell.before),
        "after": _side(cell.after),
        "changes": [change._asdict() for change in cell.changes],
    }


def _side(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "verdict": outcome.verdict.value,
        "raw": outcome.raw.value,
        "status": outcome.status.value,
        "message": outcome.message,
        "run": outcome.run,
        "evidence": outcome.evidence,
        "retried": outcome.retried,
    }


def _quoted(comparison: Comparison) -> str:
    return " ".join(side.name.partition(" ")[0] for side in (comparison.before, comparison.after))
