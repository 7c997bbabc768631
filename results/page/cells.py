"""The page of one execution: its steps, consoles, evidence and history, and the files it leads to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base.errors import InfraError
from results.entries import CellStart, StepStart
from results.entries import Entry as JournalEntry
from results.journal import read_journal
from results.model import Result, StepPlan, Verdict
from results.page import timeline
from results.page.clock import COMMAND, Clock, Mark, read_marks
from results.page.consoles import Console, read_consoles
from results.page.evidence import Evidence
from results.page.jobs import Job, made_from, recall, remembered
from results.page.model import folder_of
from results.page.plots import RUNS_MOST, Measurement
from results.page.rerun import read_spec_view, rerun
from results.page.tables import StepView
from results.page.terminal import render, visible
from results.page.times import times_of
from results.page.write import Writer
from results.seal import KEY, RESULT
from results.store import Stored
from results.triage import in_data

ALARM_MOST = 64 << 10
LAST_LINES = 30
# A message of a step or a cell may be a whole excerpt; the page shows so many characters of it.
MESSAGE_MOST = 4000


@dataclass(frozen=True)
class Made:
    """What came of a job: times of the cell's executions by run, and remarks."""

    cell_id: str
    measured: tuple[Measurement, ...] = ()
    notes: tuple[str, ...] = ()


def make_cell(job: Job, writer: Writer) -> Made:
    """Write the pages and evidence of one execution, unless they are there already as they would be written now.

    Raises OSError, InfraError when the result cannot be read.
    """
    directory = job.stored.directory
    folder = folder_of(job.stored)
    key = made_from(job)
    if (before := recall(writer.folder / folder, key)) is not None:
        return Made(job.entry.cell_id, *before)
    whole = job.stored.load()
    notes: list[str] = []
    journal = _journal(directory, notes)
    evidence = Evidence(directory)
    clock = Clock(evidence, journal)
    files = evidence.copy(lambda name: writer.place(f"{folder}/{name}"))
    consoles = read_consoles(evidence, clock, files)
    marks = _marks(evidence, clock)
    steps = _steps(whole, journal, consoles)
    spec = read_spec_view(evidence)
    base: dict[str, Any] = {
        "job": job,
        "entry": job.entry,
        "result": job.stored.result,
        "title": job.title,
        "consoles": consoles,
    }
    for console in consoles:
        writer.page(f"{folder}/{console.page}", "console.html", **base, console=console, parts=console.markup())
    measured = _measured(job, whole) if job.is_newest else ()
    # Written last: whoever finds it finds all that it leads to.
    writer.page(
        f"{folder}/index.html",
        "cell.html",
        **base,
        message=_short(job.stored.result.message),
        triage=in_data(job.stored.result.status, job.stored.triage, reference=job.stored.reference),
        facts=whole.facts,
        steps=steps,
        ran=len(whole.steps),
        picture=_picture(steps, consoles, marks),
        approximate=clock.approximate,
        files=[file for file in files if not file.is_picture],
        screens=[file for file in files if file.is_picture],
        alarm=_alarm(evidence),
        last=_last(job.stored, consoles),
        rerun=rerun(whole.cell, spec),
        spec=spec,
        inputs=job.stored.inputs,
        called=spec.images() if spec else {},
        digests=_digests(evidence),
        notes=notes,
        end=remembered(key, measured, notes),
    )
    return Made(job.entry.cell_id, measured, tuple(notes))


def _journal(directory: Path, notes: list[str]) -> list[JournalEntry]:
    try:
        return read_journal(directory)
    except InfraError as error:
        notes.append(f"no times of steps: {visible(str(error))}")
        return []


def _marks(evidence: Evidence, clock: Clock) -> dict[str, list[Mark]]:
    found = {}
    for name in evidence.names:
        if name.startswith("qmp/") and (excerpt := evidence.read(name)) is not None:
            transcript = name.removeprefix("qmp/").removesuffix(".jsonl")
            found[transcript] = read_marks(excerpt, clock.shift(transcript))
    return found


def _steps(result: Result, journal: Sequence[JournalEntry], consoles: Sequence[Console]) -> list[StepView]:
    start = next((entry for entry in journal if isinstance(entry, CellStart)), None)
    begun = {entry.index: entry.t for entry in journal if isinstance(entry, StepStart)}
    ran = {step.index: step for step in result.steps}
    plans = dict(enumerate(start.declared)) if start else {}
    plans |= {index: StepPlan(section=step.section, verb=step.verb, title=step.title) for index, step in ran.items()}
    views = []
    for index, plan in sorted(plans.items()):
        step, began = ran.get(index), begun.get(index)
        places: tuple[tuple[str, int], ...] = ()
        if step is not None and began is not None:
            places = _places(consoles, began, began + step.elapsed)
        views.append(StepView(index + 1, plan, step, began, places))
    return views


def _places(consoles: Sequence[Console], begin: float, end: float) -> tuple[tuple[str, int], ...]:
    """Return where consoles say what they said during a step."""
    found = [(console.name, console.at(begin, end)) for console in consoles]
    return tuple((name, line) for name, line in found if line is not None)


def _picture(
    steps: Sequence[StepView], consoles: Sequence[Console], marks: Mapping[str, Sequence[Mark]]
) -> timeline.Picture | None:
    spans = [
        timeline.Span(
            step.began,
            step.began + step.result.elapsed,
            step.result.verdict.value,
            step.number,
            f"step {step.number}, {step.name}: {step.result.verdict}, {step.result.elapsed:.1f} s",
        )
        for step in steps
        if step.result is not None and step.began is not None
    ]
    return timeline.draw(spans, {console.name: console.times for console in consoles}, marks)


def _alarm(evidence: Evidence) -> list[str]:
    excerpt = evidence.read("alarm.txt")
    if excerpt is None:
        return []
    return [line.text for line in render(excerpt.cut(ALARM_MOST, ALARM_MOST // 2).joined(), lambda _: None)[0]]


def _digests(evidence: Evidence) -> dict[str, str]:
    """Return the SHA-256 of each file of evidence as the seal has it; nothing without a seal."""
    excerpt = evidence.read(RESULT)
    try:
        files = json.loads(excerpt.head)[KEY]["files"] if excerpt else {}
        return {str(name): str(entry.get("sha256", "")) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # unsealed or damaged, which the page tells by its marks


def _last(stored: Stored, consoles: Sequence[Console]) -> tuple[Console, list[str]] | None:
    """Return the last lines of the console that was written to last, for a cell that did not pass."""
    logs = [console for console in consoles if console.count and not console.name.endswith(COMMAND)]
    if not logs or stored.result.raw in (Verdict.PASS, Verdict.SKIP):
        return None
    console = max(logs, key=lambda one: one.times.times[-1] if one.times.times else 0.0)
    return console, [line.text for line in console.parts[-1][-LAST_LINES:]]


def _measured(job: Job, newest: Result) -> tuple[Measurement, ...]:
    """Return the times of the cell's executions, oldest first; one that cannot be read any more has none."""
    found = []
    for past in reversed(job.entry.past[:RUNS_MOST]):
        try:
            result = newest if past.stored.directory == job.stored.directory else past.stored.load()
        except InfraError:
            continue
        found.append((past.run, past.page if past.page in job.pages else "", times_of(result)))
    return tuple(found)


def _short(text: str) -> str:
    shown = visible(text.replace("\n", "\x00")).replace("\u2400", "\n")
    return shown if len(shown) <= MESSAGE_MOST else f"{shown[:MESSAGE_MOST]} [...]"
