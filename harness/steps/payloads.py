"""Payloads: programs that take the place of a hypervisor, and claim one thing after the other about the processor."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

from pydantic import Field

from harness.cell import Cell
from harness.tap import PLAN, read_results
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim import snapshot
from sim.machine import Machine

# How a payload says that it is to be saved, and a line typed where it goes on.
SAVE = r"(?m)^# save this machine[^\n]*\n"
# Of the claims that do not hold, so many are told.
TOLD = 3


class PayloadParams(StepParams):
    """Parameters of `payload-passes`: on how many processors, and how often it is saved and resumed on the way."""

    name: str
    cpus: int = Field(default=1, ge=1)
    saved: int = Field(default=0, ge=0)
    within: Seconds = 60.0


@verb("payload-passes", shorthand="name")
async def payload_passes(cell: Cell, params: PayloadParams) -> str:
    """Start a program in the hypervisor's place on a machine of its own, and see that all holds that it claims."""
    built = cell.machine_spec.kernel
    kernel = built.parent / params.name if built else None
    if kernel is None or not kernel.is_file():
        raise StepFailed(f"no payload {params.name} beside {built}", hint="those that there are: tests/payloads")
    # The name of its console among the evidence, and of its machine.
    name = params.name
    base = replace(cell.machine_spec, kernel=kernel, cpus=params.cpus)
    machine = await cell.start_machine(name, base=base)
    for time in range(params.saved):
        await cell.wait(f"{name} asks to be saved", machine.console.expect(SAVE), params.within, domain=name)
        folder = cell.directory / f"{name}.saved"
        folder.mkdir(exist_ok=True)
        await snapshot.save(machine, folder)
        await cell.end_machine(name)
        machine = await cell.start_machine(name, base=base, saved=folder)
        await snapshot.load(machine, folder)
        # What it was saved in is large, and no evidence.
        shutil.rmtree(folder)
        cell.journal.note(f"{name} was saved and resumed, time {time + 1}")
        machine.console.send("\n")
    planned = await _planned(cell, machine, params)
    shown = machine.console.log_path.read_text(errors="replace")
    await cell.end_machine(name)
    results = read_results(shown, planned)
    if results.failed or results.missing:
        bad = "; ".join(results.failed[:TOLD]) or f"{results.missing} have no result"
        raise StepFailed(f"{name}: {len(results.failed)} of {planned} claims do not hold: {bad}")
    return f"{planned} claims hold"


async def _planned(cell: Cell, machine: Machine, params: PayloadParams) -> int:
    # It switches the machine off right behind its plan.
    machine.may_stop = True
    what = f"{params.name} has come to its end"
    found = await cell.wait(what, machine.console.expect(re.compile(PLAN.encode())), params.within, domain=params.name)
    return int(found.groups[0])
