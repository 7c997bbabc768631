"""Switching a domain off or resetting it from inside, noticed as what it is."""

from __future__ import annotations

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.toolstacks import STOPS, Stop
from harness.verbs import StepFailed, verb
from sim.machine import Machine


@verb("powers-off", shorthand="domain")
async def powers_off(cell: Cell, params: DomainParams) -> str:
    """Let a domain switch itself off; its machine must see a power-off, not a reset."""
    return await _stop(cell, params, "poweroff -f", "power-off")


@verb("reboots", shorthand="domain")
async def reboots(cell: Cell, params: DomainParams) -> str:
    """Let a domain reset itself; its machine must see a reset, not a power-off."""
    return await _stop(cell, params, "reboot -f", "reset")


async def _stop(cell: Cell, params: DomainParams, command: str, wanted: Stop) -> str:
    name = params.domain
    if cell.is_host(name):
        cell.host(name).machine.may_stop = True
        stopped = _machine_stopped(cell.host(name).machine)
    else:
        stopped = cell.toolstack.stopped(cell.domain(name))
    cell.shell(name).console.send(f"{command}\n")
    seen = await cell.wait(f"{name} stops by `{command}`", stopped, params.within, domain=name)
    if seen != wanted:
        raise StepFailed(f"{name}: `{command}` was seen as {seen}, not {wanted}")
    return seen


async def _machine_stopped(machine: Machine) -> str:
    event = await machine.qmp.event("SHUTDOWN")
    reason = str(event["data"]["reason"])
    return STOPS.get(reason, reason)
