"""Verbs of a domU's own clock: that it goes on as time does, whatever is done to the domU meanwhile."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from base.owner import start_ticks
from base.yamlmodel import Model
from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import Seconds, StepFailed, verb

_READ = "cut -d' ' -f1 /proc/uptime"


class Noted(Model):
    """A domU's clock (s), read between two moments of our own (s) while this machine ran."""

    clock: float
    after: float
    before: float
    machine: str


class NotesTimeParams(DomainParams):
    """Parameters of `notes-time`."""

    within: Seconds = 60.0


class KeepsTimeParams(DomainParams):
    """Parameters of `keeps-time`: by how many seconds the clock may be off."""

    off: Annotated[float, Field(gt=0)] = 1.0
    within: Seconds = 60.0


@verb("notes-time", shorthand="domain")
async def notes_time(cell: Cell, params: NotesTimeParams) -> str:
    """Note what a domU's own clock shows, for `keeps-time` to compare with."""
    noted = await _read(cell, params.domain, params.within)
    cell.notes[f"time-of-{params.domain}"] = noted.model_dump(mode="json")
    return f"up {noted.clock:.2f} s"


@verb("keeps-time", shorthand="domain")
async def keeps_time(cell: Cell, params: KeepsTimeParams) -> str:
    """Compare how far a domU's own clock has come since it was noted with the time that has passed here."""
    name = params.domain
    kept = cell.notes.get(f"time-of-{name}")
    if kept is None:
        raise StepFailed(f"{name}'s time was not noted", hint="put the step `notes-time` before this one")
    noted = Noted.model_validate(kept)
    now = await _read(cell, name, params.within)
    if now.machine != noted.machine:
        raise StepFailed(f"{name}'s time was noted before a template was made", hint="make the scenario `cold: true`")
    came, (least, most) = now.clock - noted.clock, passed(noted, now)
    cell.fact(f"clock.{name}.off-s", round(deviation(came, least, most), 2))
    if abs(deviation(came, least, most)) > params.off:
        raise StepFailed(f"{name}'s clock came {came:.1f} s on while {least:.1f} to {most:.1f} s passed")
    return f"{came:.1f} s in {least:.1f} to {most:.1f} s"


def passed(first: Noted, last: Noted) -> tuple[float, float]:
    """Return how many seconds have passed between two readings of a clock: at least, and at most."""
    return last.after - first.before, last.before - first.after


def deviation(came: float, least: float, most: float) -> float:
    """Return by how many seconds a clock that came so far is ahead (or behind, negative) for certain."""
    return came - min(max(came, least), most)


async def _read(cell: Cell, name: str, seconds: float) -> Noted:
    """Read a domU's clock twice, and return the reading that was answered sooner: it says more."""
    readings: list[Noted] = []
    for _ in range(2):
        after = time.monotonic()
        clock = float(await cell.must(name, _READ, seconds))
        readings.append(Noted(clock=clock, after=after, before=time.monotonic(), machine=_machine(cell)))
    return min(readings, key=lambda reading: reading.before - reading.after)


def _machine(cell: Cell) -> str:
    """Return what tells the run of a machine from that of its clone: for a clone, time has passed unseen."""
    pid = cell.machine.process.pid
    return f"{pid}:{start_ticks(pid)}"
