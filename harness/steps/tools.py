"""Verbs of the management tools that only look, or only turn a knob: info, top, dmesg, sched, dump-core."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.steps.load import TICKS, bind, cpu_times, end_loops, start_loops
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.platform import DOM0

# A domU with the least weight (nice 19: 15) beside one with the usual (nice 0: 1024) gets hardly anything
# (kernel/sched/core.c, sched_prio_to_weight); a fourth is told from a half by any measure.
LEAST_WEIGHT = 19
# The share that is due to it, at least and at most, by its weight.
DUE = {LEAST_WEIGHT: (0.0, 0.25), 0: (0.35, 1.0)}
# Looks at a share. A turn that the host held back is charged whole, as dom0's clock went on; later ones make up for it.
LOOKS = 5
# Of a CPU, and of what the busy one has: a busy host makes the idle one's clock ticks longer as well.
BUSY, IDLE = 0.5, 0.4
CORE = "/run/core"


class HostParams(StepParams):
    """Parameters of verbs about the hypervisor itself."""

    host: str = DOM0


class TopParams(StepParams):
    """Parameters of `top`: a domU that is made busy, one that is left alone, and for how many seconds."""

    busy: str
    idle: str
    seconds: Annotated[int, Field(gt=0)] = 4
    within: Seconds = 90.0


class SchedParams(StepParams):
    """Parameters of `sched`: the domU that is given less, and the one that is not."""

    less: str
    more: str
    seconds: Annotated[int, Field(gt=0)] = 4
    within: Seconds = 120.0


class DumpParams(DomainParams):
    """Parameters of `dump-core`."""

    within: Seconds = 180.0


@verb("info")
async def info(cell: Cell, params: HostParams) -> str:
    """Let the toolstack describe the hypervisor: with the CPUs that its machine has, and less memory than that has."""
    work = cell.toolstack.info(cell, cell.host(params.host))
    what = "the toolstack describes the hypervisor"
    found = await cell.wait(what, work, params.within, domain=params.host)
    given = cell.shape(params.host)
    if found.cpus != given.cpus or not 0 < found.free < given.memory:
        raise StepFailed(f"{params.host} has {given.cpus} CPUs and {given.memory} MiB, and is described as {found}")
    return f"{found.name}, {found.cpus} CPU, {found.free} MiB free"


@verb("dmesg")
async def dmesg(cell: Cell, params: HostParams) -> str:
    """Read the hypervisor's log from dom0: it has the running version, and what it was just made to write."""
    work = cell.toolstack.log(cell.host(params.host), f"testbed-{cell.spec.seed:08x}")
    log = await cell.wait("the hypervisor's log is read", work, params.within, domain=params.host)
    return f"{len(log.lines)} lines; {log.version.strip()}"


@verb("top")
async def top(cell: Cell, params: TopParams) -> str:
    """Make one domU busy and leave another alone: the CPU time that dom0 counts for each must show it."""
    loops = await start_loops(cell, (params.busy,), params.within)
    busy, idle = await _measure(cell, (params.busy, params.idle), params.seconds, params.within)
    await end_loops(cell, loops, params.within)
    if busy < BUSY or idle > IDLE * busy:
        raise StepFailed(f"{params.busy} is busy with {busy:.2f} of a CPU, {params.idle} idle with {idle:.2f}")
    return f"{params.busy} {busy:.2f} of a CPU, {params.idle} {idle:.2f}"


@verb("sched")
async def sched(cell: Cell, params: SchedParams) -> str:
    """Give one of two busy domUs on one CPU the least weight, then the usual one: its share follows."""
    pair, less = (params.less, params.more), cell.domain(params.less)
    for name in pair:
        await bind(cell, name, 0, params.within)
    loops = await start_loops(cell, pair, params.within)
    shares = []
    for weight, due in DUE.items():
        what = f"{params.less} is given the weight {weight}"
        await cell.control(params.less, what, cell.toolstack.set_weight(less, weight), params.within)
        shares.append(await _share(cell, pair, params, due))
    # Only now: a domU with the least weight hardly gets to end anything.
    await end_loops(cell, loops, params.within)
    told = f"{params.less}'s share is {shares[0]:.2f} with the least weight, {shares[1]:.2f} with the usual one"
    if not all(least <= share <= most for share, (least, most) in zip(shares, DUE.values(), strict=True)):
        raise StepFailed(told)
    return told


async def _share(cell: Cell, pair: tuple[str, str], params: SchedParams, due: tuple[float, float]) -> float:
    """Return the first domU's share of what a pair has used since the call: once it is as due, else after all looks."""
    used, share = [0.0, 0.0], 0.0
    for _ in range(LOOKS):
        more, _ = await _used(cell, pair, params.seconds, params.within)
        used = [had + new for had, new in zip(used, more, strict=True)]
        share = used[0] / max(sum(used), 1 / TICKS)
        if due[0] <= share <= due[1]:
            break
    return share


async def _measure(cell: Cell, names: tuple[str, ...], seconds: int, within: float) -> list[float]:
    """Return what share of a CPU each of some domUs gets, by dom0's account, in so many seconds of dom0's or more."""
    used, passed = await _used(cell, names, seconds, within)
    return [each / passed for each in used]


async def _used(cell: Cell, names: tuple[str, ...], seconds: int, within: float) -> tuple[list[float], float]:
    """Return the CPU time that some domUs use, by dom0's account, and how much time passed meanwhile, in seconds."""
    host, clock = cell.domain(names[0]).host.name, "cut -d' ' -f1 /proc/uptime"
    before = [sum(await cpu_times(cell, name, within)) for name in names]
    # Busy domUs can keep dom0 from its own wake-up: what has passed is read, not taken for granted.
    began, ended = (await cell.must(host, f"{clock}; sleep {seconds}; {clock}", within)).split()
    after = [sum(await cpu_times(cell, name, within)) for name in names]
    passed = float(ended) - float(began)
    return [(late - early) / TICKS for early, late in zip(before, after, strict=True)], passed


@verb("dump-core", shorthand="domain")
async def dump_core(cell: Cell, params: DumpParams) -> str:
    """Dump a running domU's memory: a core that has the kernel's version where it belongs; the domU goes on."""
    name = params.domain
    domain = cell.domain(name)
    host = domain.host.name
    look = "sed -n 's/ . linux_banner$//p' /proc/kallsyms; cat /proc/version"
    address, banner = (await cell.must(name, look, params.within)).splitlines()
    work = cell.toolstack.dump_core(domain, CORE)
    await cell.control(name, f"{name}'s memory is dumped", work, params.within)
    find = cell.toolstack.find_in_core(domain, CORE, int(address, 16), cell.identity(name).order)
    offset = await cell.control(name, f"the kernel's version is looked up in {name}'s dump", find, params.within)
    cut = f"dd if={CORE} bs=1 skip={offset} count={len(banner)} 2>/dev/null; echo; stat -c %s {CORE}; rm {CORE}"
    found, size = (await cell.must(host, cut, params.within)).splitlines()
    if found != banner:
        raise StepFailed(f"at {address} the core of {name} has '{found}', not '{banner}'")
    await cell.wait(f"{name} answers", domain.command.challenge(), params.within, domain=name)
    return f"{int(size) >> 20} MiB, {banner[:30]}..."
