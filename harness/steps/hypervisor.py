"""The hypervisor itself: it starts, it is the one that was built, and it does what comes next."""

from __future__ import annotations

import asyncio
import re

from harness.cell import Cell
from harness.kernel import build_id, file_build_id, find_build_id
from harness.steps.answering import (
    EXCERPT,
    BootParams,
    DomainParams,
    ShowedParams,
    boot_dom0,
    boot_silence,
    console_showed,
)
from harness.steps.identity import same_kernel
from harness.toolstacks import STOPS
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.machine import Machine
from sim.platform import DOM0

# Between the news that the machine was switched off and what its console has shown before that (s).
LAST_WORDS = 1.0
# What is read of the machine's memory, as evidence.
NOTE = "hypervisor.note"
# Where dom0's kernel tells Xen's, as bytes (Documentation/ABI/stable/sysfs-hypervisor-xen).
BUILD_ID = "/sys/hypervisor/properties/buildid"


class NextParams(StepParams):
    """Parameters of `hypervisor-goes-on`."""

    within: Seconds = 60.0


@verb("hypervisor-starts")
async def hypervisor_starts(cell: Cell, params: BootParams) -> str | None:
    """Switch the simulated machine on, and see what marks the hypervisor's start on console 0, or in dom0's answer."""
    boot = cell.hypervisor.boot
    if boot.then != "dom0":
        return await _before_it_ends(cell, boot.shows, params)
    await boot_dom0(cell, params)
    if boot.command is None:
        return await console_showed(cell, ShowedParams(domain=params.host, text=boot.shows))
    said = await cell.must(params.host, boot.command, params.within)
    if not re.search(boot.shows, said):
        raise StepFailed(f"{params.host} answers `{boot.command}` with no /{boot.shows}/, but: {said[-EXCERPT:]}")
    return said


async def _before_it_ends(cell: Cell, text: str, params: BootParams) -> str:
    name = params.host
    machine = await cell.start_machine(name)
    cell.fact("qemu", machine.version)
    machine.may_stop = True
    what = f"console 0 shows /{text}/"
    silence = boot_silence(cell, params.within)
    return await cell.wait(what, _read(machine, text), params.within, domain=name, silence=silence)


async def _read(machine: Machine, text: str) -> str:
    """Return what console 0 shows that matches. Raises StepFailed when the machine is switched off before."""
    shown = asyncio.create_task(machine.console.expect(text))
    switched_off = asyncio.create_task(machine.qmp.event("SHUTDOWN"))
    try:
        await asyncio.wait({shown, switched_off}, return_when=asyncio.FIRST_COMPLETED)
        if not shown.done():
            await asyncio.wait({shown}, timeout=LAST_WORDS)
        if not shown.done():
            reason = switched_off.result()["data"]["reason"]
            raise StepFailed(f"the machine was switched off or reset ({reason}) before console 0 showed /{text}/")
        return shown.result().text.decode(errors="replace").strip()
    finally:
        for task in (shown, switched_off):
            task.cancel()
            await asyncio.wait({task})


@verb("same-hypervisor")
async def same_hypervisor(cell: Cell, params: StepParams) -> str:
    """Compare the running hypervisor's build id with that of the file that was built."""
    file = cell.machine_spec.hypervisor
    if file is not None and cell.hypervisor.boot.then == "dom0":
        built = file_build_id(file)
        running = (await cell.must(DOM0, f"od -An -v -tx1 {BUILD_ID} | tr -d ' \\n'", params.within)).strip()
        cell.fact("hypervisor.build-id", running)
        if running != built:
            raise StepFailed(f"dom0's hypervisor has {running or 'no build id'}, built was {built or 'one without'}")
        return f"build id {running}"
    if cell.hypervisor.boot.then == "dom0":
        return str(await same_kernel(cell, DomainParams(domain=DOM0, within=params.within)))
    file = file or cell.machine_spec.kernel
    place = find_build_id(file) if file else None
    if file is None or place is None:
        raise StepFailed(f"{file} has no build id by which to tell it", hint="link it with --build-id=sha1")
    path = cell.directory / NOTE
    address = cell.spec.platform.images.place(place.address)
    save = cell.machine.qmp.execute("pmemsave", val=address, size=place.size, filename=str(path))
    await cell.wait("the machine's memory is read", save, params.within)
    wanted = cell.identity(DOM0)
    # Of two files, what is known beforehand is dom0's.
    release, built = ("", file_build_id(file)) if cell.hypervisor.two_files else (wanted.release, wanted.build_id)
    running = build_id(path.read_bytes(), wanted.order)
    cell.fact("hypervisor.build-id", running)
    if running != built:
        raise StepFailed(f"at {address:#x} the machine has {running or 'no build id'}, built was {built}")
    return f"{f'{release}, ' if release else ''}build id {running} at {address:#x}"


@verb("hypervisor-goes-on")
async def hypervisor_goes_on(cell: Cell, params: NextParams) -> str:
    """Wait for what comes next: dom0's toolstack opens the hypervisor; one without a dom0 switches the machine off."""
    if cell.hypervisor.boot.then == "dom0":
        return await cell.wait("the hypervisor is ready", cell.toolstack.ready(cell), params.within)
    event = await cell.wait("the machine is switched off", cell.machine.qmp.event("SHUTDOWN"), params.within)
    reason = str(event["data"]["reason"])
    if STOPS.get(reason) != "power-off":
        raise StepFailed(f"the machine ended with {reason}, not with a power-off")
    return reason
