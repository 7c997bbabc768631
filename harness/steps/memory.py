"""Verbs of a domU's memory: given back to the hypervisor and taken again."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Annotated, Any

from pydantic import Field

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.steps.clock import until
from harness.toolstacks import MemoryRefused
from harness.verbs import Seconds, StepFailed, verb

# How far the guest's own account may be from the balloon's (MiB): the guest rounds to pages, not more.
TOLERANCE = 2
# The same for its free memory, which changes by itself a little.
FREE_TOLERANCE = 16
# How much of plugged memory a kernel may need for its account of it.
BOOKKEEPING = 0.05
# Seconds of the guest's clock in which its kernel has taken memory in, or given it up.
PLUGGED_WITHIN = 20
FILLED = "/tmp/filled"  # noqa: S108  (in the guest)
_MEMINFO = re.compile(r"(MemTotal|MemFree): +(\d+) kB")


class SetParams(DomainParams):
    """Parameters of `mem-set`, `mem-max` and `mem-squeeze`: the balloon's target in MiB."""

    target: Annotated[int, Field(gt=0)]
    within: Seconds = 60.0


class ModuleParams(DomainParams):
    """Parameters of `memory-attach` and `memory-detach`: the module's size in MiB."""

    size: Annotated[int, Field(gt=0)] = 256
    within: Seconds = 60.0


class FillParams(DomainParams):
    """Parameters of `fills-memory`: how many MiB of numbers the domU keeps in its memory."""

    size: Annotated[int, Field(gt=0)]
    within: Seconds = 120.0


@verb("mem-set")
async def mem_set(cell: Cell, params: SetParams) -> str:
    """Set a domU's memory to a target; the domU's own MemTotal must change by as much as the hypervisor says."""
    name = params.domain
    domain = cell.domain(name)
    # A balloon that deflates when memory is short does not count as taken: then only free memory shows it.
    plain = domain.config.balloon != "deflate-on-oom"
    account, tolerance = ("MemTotal", TOLERANCE) if plain else ("MemFree", FREE_TOLERANCE)
    before, size_before = await _memory(cell, name, account, params.within), await _size(cell, name, params.within)
    what = f"{name}'s memory becomes {params.target} MiB"
    size = await cell.wait(what, cell.toolstack.set_memory(domain, params.target), params.within, domain=name)
    if size != params.target:
        raise StepFailed(f"{name} was to have {params.target} MiB, and has {size} MiB")
    after = await _memory(cell, name, account, params.within)
    told = f"{size_before} to {size} MiB; {name}'s {account} {before} to {after} MiB"
    if abs((after - before) - (size - size_before)) > tolerance:
        raise StepFailed(f"the hypervisor and {name} do not agree: {told}")
    return told


@verb("mem-max")
async def mem_max(cell: Cell, params: SetParams) -> str:
    """Ask for more memory than a domU may have: it gets its maximum and no more, or is refused and keeps its own."""
    name = params.domain
    domain = cell.domain(name)
    most = domain.config.memory
    if params.target <= most:
        raise StepFailed(f"{params.target} MiB is not beyond {name}'s maximum of {most} MiB")
    what = f"{name}'s memory is asked to become {params.target} MiB"
    before = await _size(cell, name, params.within)
    try:
        size = await cell.wait(what, cell.toolstack.set_memory(domain, params.target), params.within, domain=name)
    except MemoryRefused as refusal:
        if (size := await _size(cell, name, params.within)) != before:
            raise StepFailed(f"{name} was refused more than {before} MiB, and has {size} MiB") from refusal
        return f"{refusal.message}; has {size} MiB"
    total = await _memory(cell, name, "MemTotal", params.within)
    if size != most or total > most:
        raise StepFailed(f"{name} may have {most} MiB, and has {size} MiB (its MemTotal is {total} MiB)")
    return f"asked for {params.target} MiB, has {size} MiB"


@verb("memory-attach")
async def memory_attach(cell: Cell, params: ModuleParams) -> str:
    """Plug memory into a running domU; its kernel's MemTotal must grow by as much."""
    work = cell.toolstack.attach_memory(cell.domain(params.domain), params.size)
    return await _plugged(cell, params, f"{params.domain} gets {params.size} MiB more", work, params.size)


@verb("memory-detach")
async def memory_detach(cell: Cell, params: ModuleParams) -> str:
    """Take plugged memory out of a running domU again; its kernel's MemTotal must shrink by as much."""
    work = cell.toolstack.detach_memory(cell.domain(params.domain))
    return await _plugged(cell, params, f"{params.domain} gives {params.size} MiB up", work, -params.size)


@verb("fills-memory")
async def fills_memory(cell: Cell, params: FillParams) -> str:
    """Let a domU keep numbers in its memory, each computed from the one before, from a random one on."""
    script = f"mount -o remount,size=100% /tmp && witness fill {FILLED} {params.size} {cell.spec.seed}"
    answer = await cell.run(params.domain, script, params.within)
    if answer.status != 0:
        raise StepFailed(f"{params.domain} cannot hold {params.size} MiB: {answer.output.strip()}")
    cell.notes[f"filled-{params.domain}"] = {"size": params.size, "seed": cell.spec.seed}
    return f"{params.size} MiB from {cell.spec.seed} on"


@verb("mem-squeeze")
async def mem_squeeze(cell: Cell, params: SetParams) -> str:
    """Ask a domU that uses its memory for more than it can give: it gives some, kills nothing, and answers."""
    name = params.domain
    domain = cell.domain(name)
    before = await _size(cell, name, params.within)
    what = f"{name} is squeezed to {params.target} MiB"
    size = await cell.wait(what, cell.toolstack.set_memory(domain, params.target), params.within, domain=name)
    await cell.wait(f"{name} answers", domain.command.challenge(), params.within, domain=name)
    killed = await cell.run(name, "dmesg | grep -E 'Out of memory|oom-kill'", params.within)
    if killed.status == 0:
        raise StepFailed(f"{name} had to kill: {killed.output.strip()}")
    if size >= before:
        raise StepFailed(f"{name} gave nothing: it still has {size} MiB")
    return f"{before} to {size} MiB, asked for {params.target} MiB"


@verb("memory-is-kept", shorthand="domain")
async def memory_is_kept(cell: Cell, params: DomainParams) -> str:
    """Compare each number that a domU keeps in its memory with what it put there."""
    wanted = cell.notes.get(f"filled-{params.domain}")
    if wanted is None:
        raise StepFailed(f"{params.domain} keeps nothing", hint="put the step `fills-memory` before this one")
    answer = await cell.run(params.domain, f"witness verify {FILLED} {wanted['seed']}", params.within)
    if answer.status != 0 or answer.output.strip() != str(wanted["size"]):
        raise StepFailed(f"{params.domain} put {wanted['size']} MiB into its memory, and has: {answer.output.strip()}")
    return f"{wanted['size']} MiB"


async def _plugged(cell: Cell, params: ModuleParams, what: str, work: Coroutine[Any, Any, None], change: int) -> str:
    """Wait for `work`, and then until the domU's MemTotal has changed by `change` MiB. Raises StepFailed."""
    name = params.domain
    before = await _memory(cell, name, "MemTotal", params.within)
    await cell.wait(what, work, params.within, domain=name)
    # A kernel takes a module in piece by piece, and keeps its account of the pages (struct page) in memory as well.
    low, high = sorted((int(change * (1 - BOOKKEEPING)), change))
    total = "$(($(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) >> 10))"
    there = f"total={total}; [ $total -ge {before + low} ] && [ $total -le {before + high + TOLERANCE} ]"
    wait = until(there, "echo its MemTotal is $total MiB; dmesg | tail -n 2", PLUGGED_WITHIN)
    await cell.must(name, wait, params.within)
    after = await _memory(cell, name, "MemTotal", params.within)
    return f"{name}'s MemTotal {before} to {after} MiB"


async def _memory(cell: Cell, name: str, account: str, seconds: float) -> int:
    """Return a line of a guest's /proc/meminfo in MiB."""
    answer = await cell.run(name, "cat /proc/meminfo", seconds)
    found = dict(_MEMINFO.findall(answer.output))
    if account not in found:
        raise StepFailed(f"{name} does not tell its memory: {answer.output.strip()}")
    return int(found[account]) >> 10


async def _size(cell: Cell, name: str, seconds: float) -> int:
    """Return what the domU has at this moment, in MiB: one that deflates its balloon may have more than it was left."""
    work = cell.toolstack.memory(cell.domain(name))
    return await cell.wait(f"the toolstack tells {name}'s memory", work, seconds, domain=name)
