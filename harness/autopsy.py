"""What a cell's machines and domUs still tell after a step that did not pass."""

from __future__ import annotations

import asyncio
from pathlib import Path

import images
from base.errors import TestbedError
from harness.backtrace import add_stacks
from harness.cell import Cell
from harness.domain import Domain
from harness.hypervisor import KERNEL
from harness.kernel import identify
from sim.autopsy import PATIENCE, examine
from sim.machine import LAST_LINES


async def examine_all(cell: Cell) -> list[str]:
    """Write the autopsies of all machines and domUs that are there; returns a line about each.

    Raises only OSError, when a file cannot be written. Takes no longer than the patience of each (sim/autopsy.py,
    sim/frames.py).
    """
    said: list[str] = []
    for machine in cell.machines:
        if path := await machine.autopsy():
            kernel = cell.machine_spec.kernel
            # Only a PowerPC's registers and stacks are read.
            if kernel and machine.spec.platform.architecture == "ppc64":
                await add_stacks(machine.qmp, kernel, path)
            said.append(f"registers, state and stacks at the end: {path.name}")
    for domain in cell.domains.values():
        if not domain.ended.done() and not domain.host.machine.process.exited.done():
            said.append(await _domain(cell, domain))
    return said


async def _domain(cell: Cell, domain: Domain) -> str:
    """Ask the QEMU that runs in dom0, or else the toolstack, as far as dom0 still lets them answer."""
    name = domain.name
    path = cell.directory / f"autopsy.{name}.txt"
    if domain.monitor is None:
        try:
            async with asyncio.timeout(PATIENCE):
                said = await cell.toolstack.examine(domain)
        except (TestbedError, TimeoutError) as error:
            said = f"the toolstack no longer answers: {str(error) or 'no answer in time'}"
        path.write_text(f"{said}\n\nlast lines of console {name}:\n{domain.console.tail(LAST_LINES)}\n")
        return f"state of {name} at the end: {path.name}"
    # Without a picture: that QEMU's files are dom0's.
    await examine(domain.qmp, path, None, lambda: {name: domain.console.tail(LAST_LINES)})
    try:
        await add_stacks(domain.qmp, _domu_kernel(cell), path)
    except TestbedError as error:
        return f"registers and state of {name} at the end: {path.name}; no stacks: {error.message}"
    return f"registers, state and stacks of {name} at the end: {path.name}"


def _domu_kernel(cell: Cell) -> Path:
    """Return the file of the kernel that domUs run. Raises TestbedError if it is not in the cache any more."""
    name = cell.hypervisor.column(cell.spec.cell.kernel).domu_kernel
    artifact = images.cached(name) if name else None
    architecture = cell.spec.platform.architecture
    if artifact is None or identify(artifact.file(KERNEL), architecture) != cell.spec.domu_identity:
        raise TestbedError(f"image {name} is not the kernel that runs there")
    return artifact.file(KERNEL)
