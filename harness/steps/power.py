"""Switching a domain off or resetting it from inside, noticed as what it is."""

from __future__ import annotations

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import StepFailed, verb

# What QEMU gives as the reason of its SHUTDOWN event (qapi/run-state.json, ShutdownCause).
POWERED_OFF = "guest-shutdown"
RESET = "guest-reset"


@verb("powers-off", shorthand="domain")
async def powers_off(cell: Cell, params: DomainParams) -> str:
    """Let a domain switch itself off; its machine must see a power-off, not a reset."""
    return await _stop(cell, params, "poweroff -f", POWERED_OFF)


@verb("reboots", shorthand="domain")
async def reboots(cell: Cell, params: DomainParams) -> str:
    """Let a domain reset itself; its machine must see a reset, not a power-off."""
    return await _stop(cell, params, "reboot -f", RESET)


async def _stop(cell: Cell, params: DomainParams, command: str, wanted: str) -> str:
    name = params.domain
    shell = cell.shell(name)
    if cell.is_host(name):
        cell.host(name).machine.may_stop = True
    shell.console.send(f"{command}\n")
    event = await cell.wait(
        f"{name} stops by `{command}`", cell.qmp(name).event("SHUTDOWN"), params.within, domain=name
    )
    reason = str(event["data"]["reason"])
    if reason != wanted:
        raise StepFailed(f"{name}: `{command}` was seen as {reason}, not {wanted}")
    return reason
