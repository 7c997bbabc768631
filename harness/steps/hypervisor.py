"""The hypervisor itself, before anything else: does it start?"""

from __future__ import annotations

from harness.cell import Cell
from harness.steps.answering import SILENCE, BootParams
from harness.verbs import StepFailed, verb


@verb("hypervisor-starts", shorthand="host")
async def hypervisor_starts(cell: Cell, params: BootParams) -> str:
    """Switch the simulated machine on and wait until console 0 shows what marks the hypervisor's start."""
    boot = cell.hypervisor.boot
    if boot is None:
        raise StepFailed(
            f"nothing says how {cell.hypervisor.name} shows that it has started", hint="`boot` in its file"
        )
    machine = await cell.start_machine(params.host)
    cell.fact("qemu", machine.version)
    what = f"console 0 shows /{boot.shows}/"
    shown = await cell.wait(
        what,
        machine.console.expect(boot.shows),
        params.within,
        domain=params.host,
        silence=max(SILENCE, params.within / 2),
    )
    return shown.text.decode(errors="replace").strip()
