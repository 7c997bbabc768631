"""Verbs of the hypervisor and its toolstack: domUs are made, stopped, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

from pydantic import Field

from harness.cell import Cell
from harness.domain import Balloon, DiskUse, Domain, DomainConfig, Nic
from harness.host import Host
from harness.steps.answering import DomainParams
from harness.steps.load import cpu_times
from harness.steps.networks import mac_of
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.console import Console
from sim.platform import DOM0

T = TypeVar("T")
Positive = Annotated[int, Field(gt=0)]
Topology = Annotated[str, Field(pattern=r"^\d+ sockets? x \d+ cores?$")]
# A pause is looked at for so long (s of dom0's time).
LOOK = 2


class ReadyParams(StepParams):
    """Parameters of `hypervisor-ready`."""

    within: Seconds = 60.0


class CreateParams(StepParams):
    """Parameters of `create`: memory in MiB (default: the hypervisor's), vCPUs, more kernel arguments.

    `disks` are names given by the step `disk`, `read-only` those of them that must not be written. `network`
    gives it a card on dom0's bridge; `mac` is the card's address. `real-mode-area` is how much of its memory real
    mode reaches (default: all), `hole` the address and size of more memory behind a hole, both in MiB. With
    `keeps-nvram` its NVRAM outlives it: a domU that is created under its name later has what it wrote there.
    """

    domain: str
    host: str = DOM0
    memory: Positive | None = None
    vcpus: Positive = 1
    max_vcpus: Positive | None = None
    append: str = ""
    disks: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    network: bool = False
    mac: str | None = None
    balloon: Balloon = "plain"
    topology: Topology | None = None
    real_mode_area: Positive | None = None
    hole: tuple[Positive, Positive] | None = None
    keeps_nvram: bool = False
    within: Seconds = 60.0


@verb("hypervisor-ready")
async def hypervisor_ready(cell: Cell, params: ReadyParams) -> str:
    """Let dom0's toolstack open the hypervisor."""
    return await cell.wait("the hypervisor is ready", cell.toolstack.ready(cell), params.within)


class InstallParams(CreateParams):
    """Parameters of `install`."""

    within: Seconds = 180.0


@verb("create", shorthand="domain")
async def create(cell: Cell, params: CreateParams) -> str:
    """Create a domU: the toolstack starts it, and its control channel answers."""
    return await _made(cell, params, cell.toolstack.create)


@verb("install", shorthand="domain")
async def install(cell: Cell, params: InstallParams) -> str:
    """Let the toolstack's installer make a domU of a kernel and an initrd, for good, and start it."""
    return await _made(cell, params, cell.toolstack.install)


async def _made(
    cell: Cell, params: CreateParams, make: Callable[[Cell, DomainConfig, Host], Coroutine[Any, Any, Domain]]
) -> str:
    if params.domain in cell.domains:
        raise StepFailed(f"{params.domain} was created already")
    config = _config(cell, params)
    work = make(cell, config, cell.host(params.host))
    cell.domains[params.domain] = await cell.wait(
        f"{params.domain} is created", work, params.within, domain=params.host
    )
    return f"{config.memory} MiB, {config.vcpus} vCPU"


def _config(cell: Cell, params: CreateParams) -> DomainConfig:
    for name in (*params.disks, *params.read_only):
        if name not in cell.disks:
            raise StepFailed(f"no disk {name}", hint=f"put the step `disk: {name}` before this one")
    return DomainConfig(
        name=params.domain,
        memory=params.memory or cell.hypervisor.domu.memory,
        vcpus=params.vcpus,
        max_vcpus=params.max_vcpus or 0,
        append=params.append,
        disks=(
            *(DiskUse(cell.disks[name]) for name in params.disks),
            *(DiskUse(cell.disks[name], read_only=True) for name in params.read_only),
        ),
        nics=(Nic(params.mac or mac_of(cell, params.domain)),) if params.network else (),
        balloon=params.balloon,
        topology=parse_topology(params.topology) if params.topology is not None else None,
        real_mode_area=params.real_mode_area or 0,
        hole=params.hole,
        keeps_nvram=params.keeps_nvram,
    )


def parse_topology(text: str) -> tuple[int, int]:
    """Return the sockets of a topology, and the cores of each."""
    sockets, _, _, cores, _ = text.split()
    return int(sockets), int(cores)


class ListParams(StepParams):
    """Parameters of `listed`: the domUs that a dom0's toolstack must list, no more and no fewer."""

    domains: tuple[str, ...]
    host: str = DOM0


@verb("listed", shorthand="domains")
async def listed(cell: Cell, params: ListParams) -> str:
    """Let the toolstack list its domUs; they must be these, each with its memory and vCPUs."""
    work = cell.toolstack.list(cell, cell.host(params.host))
    rows = await cell.wait("the toolstack lists its domains", work, params.within, domain=params.host)
    if sorted(row.name for row in rows) != sorted(params.domains):
        found = ", ".join(row.name for row in rows) or "none"
        raise StepFailed(f"listed are {found}, not {', '.join(params.domains) or 'none'}")
    for row in rows:
        config = cell.domain(row.name).config
        if (row.memory, row.vcpus) != (config.memory, config.vcpus):
            given = f"{config.memory} MiB and {config.vcpus}"
            raise StepFailed(f"{row.name}: {row.memory} MiB and {row.vcpus} vCPU are listed, given were {given}")
    return "; ".join(f"{r.name} {r.state}, {r.memory} MiB, {r.vcpus} vCPU, {r.cpu_time:.1f} s" for r in rows) or "none"


@verb("pause", shorthand="domain")
async def pause(cell: Cell, params: DomainParams) -> str:
    """Pause a domU: its vCPUs use no CPU time any more."""
    domain = cell.domain(params.domain)
    await cell.control(params.domain, f"{params.domain} is paused", cell.toolstack.pause(domain), params.within)
    before = await cpu_times(cell, params.domain, params.within)
    await cell.must(domain.host.name, f"sleep {LOOK}", params.within)
    after = await cpu_times(cell, params.domain, params.within)
    if after != before:
        raise StepFailed(f"{params.domain} is paused, but its vCPUs went on: {before} ticks, then {after}")
    return f"no CPU time used in {LOOK} s"


@verb("unpause", shorthand="domain")
async def unpause(cell: Cell, params: DomainParams) -> None:
    """Let a paused domU go on; it must answer."""
    domain = cell.domain(params.domain)
    await cell.control(params.domain, f"{params.domain} goes on", cell.toolstack.unpause(domain), params.within)
    await cell.wait(f"{params.domain} answers", domain.command.challenge(), params.within, domain=params.domain)


@verb("shutdown", shorthand="domain")
async def shutdown(cell: Cell, params: DomainParams) -> None:
    """Ask a domU through the toolstack to switch itself off, which it must do; it is then gone."""
    await _end(cell, params, "switches itself off", cell.toolstack.shutdown)


@verb("destroy", shorthand="domain")
async def destroy(cell: Cell, params: DomainParams) -> None:
    """End a domU at once; it is then gone."""
    await _end(cell, params, "is destroyed", cell.toolstack.destroy)


async def _end(cell: Cell, params: DomainParams, what: str, act: Callable[[Domain], Awaitable[None]]) -> None:
    domain = cell.domain(params.domain)

    async def end() -> None:
        await act(domain)

    await cell.control(params.domain, f"{params.domain} {what}", end(), params.within)
    del cell.domains[params.domain]


class RebootParams(DomainParams):
    """Parameters of `reboot`."""

    within: Seconds = 60.0


@verb("reboot", shorthand="domain")
async def reboot(cell: Cell, params: RebootParams) -> str:
    """Reboot a domU through the toolstack; it must answer again, as another boot."""
    name = params.domain
    domain = cell.domain(name)
    before = await boot_id(cell, name, params.within)

    async def again() -> None:
        await cell.toolstack.reboot(domain)
        await domain.command.hello()

    await cell.wait(f"{name} boots again", again(), params.within, domain=name)
    await cell.wait(f"{name} answers", domain.command.challenge(), params.within, domain=name)
    after = await boot_id(cell, name, params.within)
    if after == before:
        raise StepFailed(f"{name} has not booted again: its boot id is still {before}")
    return f"boot {before[:8]}, then {after[:8]}"


async def boot_id(cell: Cell, name: str, seconds: float) -> str:
    """Return the random id that a domain's kernel drew when it booted. Raises as `Cell.must`."""
    return await cell.must(name, "cat /proc/sys/kernel/random/boot_id", seconds)


class PanicParams(DomainParams):
    """Parameters of `panics`: the shell command by which the domU's kernel is brought down."""

    command: str = "echo c >/proc/sysrq-trigger"
    prints: str = "Kernel panic - not syncing"


@verb("panics", shorthand="domain")
async def panics(cell: Cell, params: PanicParams) -> str:
    """Let a domU's kernel panic; its console must show it, and the hypervisor must say that the guest panicked."""
    name = params.domain
    domain = cell.domain(name)
    domain.console.excused = True
    domain.command.console.send(f"{params.command}\n")
    what = f"{name}'s console shows the panic"
    shown = await cell.wait(what, _result(domain.console.alarm), params.within, domain=name)
    if params.prints not in shown.excerpt:
        raise StepFailed(f"{name}'s console shows no '{params.prints}', but: {shown.excerpt}")
    cell.evidence(f"panic.{name}.txt", shown.excerpt)
    stopped = cell.toolstack.stopped(domain)
    seen = await cell.wait(f"the toolstack is told that {name} panicked", stopped, params.within, domain=name)
    if seen != "crash":
        raise StepFailed(f"{name}'s panic was seen as {seen}, not as a crash")
    return shown.line


async def _result(future: asyncio.Future[T]) -> T:
    return await asyncio.shield(future)


class CrashParams(DomainParams):
    """Parameters of `crashes`: the signal that ends its QEMU."""

    signal: str = "KILL"


@verb("crashes", shorthand="domain")
async def crashes(cell: Cell, params: CrashParams) -> str:
    """Kill a domU's process in dom0; the toolstack must notice its end."""
    name = params.domain
    domain = cell.domain(name)
    thread = (await cell.vcpu_threads(name, params.within))[0]
    await cell.must(domain.host.name, f"kill -{params.signal} {thread}", params.within)
    ended = await cell.control(name, f"{name} ends", _result(domain.ended), params.within)
    await cell.control(name, f"{name} is cleared away", domain.release(), params.within)
    del cell.domains[name]
    return ended


class SysrqParams(DomainParams):
    """Parameters of `sysrq`: a key of the kernel's, and what its console must show."""

    key: Annotated[str, Field(min_length=1, max_length=1)] = "h"
    prints: str = "sysrq: HELP"


@verb("sysrq", shorthand="domain")
async def sysrq(cell: Cell, params: SysrqParams) -> None:
    """Send a domU's kernel a SysRq key through the toolstack; its console must show what that does."""
    console: Console = cell.console(params.domain)

    async def send() -> None:
        await cell.toolstack.sysrq(cell.domain(params.domain), params.key)
        await console.expect(params.prints)

    await cell.wait(f"{params.domain} answers SysRq", send(), params.within, domain=params.domain)
