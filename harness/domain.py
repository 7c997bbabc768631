"""A domU as the harness sees it: what it was given, its consoles, its toolstack's QMP, and its fate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from base.errors import TestbedError
from harness.verbs import StepFailed
from sim.console import Console, ConsoleClosed
from sim.qmp import Qmp
from sim.shell import Shell

if TYPE_CHECKING:
    from harness.host import Host, Slot


# `deflate-on-oom` gives memory back to a guest that would have to kill; its MemTotal then stays as it is.
Balloon = Literal["plain", "deflate-on-oom", "none"]


class DomainEnded(TestbedError):
    """The domU ended while something of it was awaited."""


T = TypeVar("T")


async def while_alive(domain: Domain, ended: str, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does. Raises what it raises, or DomainEnded (`ended`, and how) when the domU ends first."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, domain.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise DomainEnded(f"{ended} with {domain.ended.result()}")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@dataclass(frozen=True)
class Disk:
    """A disk image in dom0: `size` in MiB, `path` in dom0. A `block_device` is opened as one, past dom0's cache."""

    name: str
    size: int
    path: str
    block_device: bool = False


@dataclass(frozen=True)
class DiskUse:
    """A disk as a domU has it from its start."""

    disk: Disk
    read_only: bool = False


@dataclass(frozen=True)
class Nic:
    """A network card of a domU, its other end on the bridge of its dom0."""

    mac: str


@dataclass(frozen=True)
class DomainConfig:
    """A domU to create: memory in MiB, `append` is added to its kernel's command line.

    `max_vcpus` beyond `vcpus` are there to be plugged (0: none). `topology` is (sockets, cores of each) if it
    was asked for. `real_mode_area` is how much of the memory real mode reaches (0: all). `hole` are (address,
    size) in MiB of more memory behind a hole. With `keeps_nvram` its NVRAM is a file of dom0's, found again by whoever
    has its name later.
    """

    name: str
    memory: int
    vcpus: int = 1
    max_vcpus: int = 0
    append: str = ""
    disks: tuple[DiskUse, ...] = ()
    nics: tuple[Nic, ...] = ()
    balloon: Balloon = "plain"
    topology: tuple[int, int] | None = None
    real_mode_area: int = 0
    hole: tuple[int, int] | None = None
    keeps_nvram: bool = False


@dataclass
class Domain:
    """A running domU. `ended` is done when it has gone, with what its toolstack's process in dom0 printed last.

    `monitor` is the QMP session of the QEMU that it runs in, if it does.
    """

    config: DomainConfig
    host: Host
    slot: Slot
    console: Console
    command: Shell
    fate: Console
    monitor: Qmp | None = None
    ended: asyncio.Task[str] = field(init=False)

    @property
    def name(self) -> str:
        """The domU's name."""
        return self.config.name

    def __post_init__(self) -> None:
        self.ended = asyncio.create_task(self._watch(), name=f"fate-{self.name}")

    @property
    def qmp(self) -> Qmp:
        """The QMP session of its QEMU. Raises StepFailed for a domU that does not run in one."""
        if self.monitor is None:
            raise StepFailed(f"{self.name} does not run in a QEMU, whose monitor could be asked")
        return self.monitor

    @property
    def consoles(self) -> tuple[Console, ...]:
        """All of dom0's ports that are read for it."""
        return (self.console, self.command.console, self.fate)

    async def _watch(self) -> str:
        try:
            found = await self.fate.expect(re.compile(rb"ended (\d+|unknown)\r?\n(.*?)ended\.", re.DOTALL))
        except ConsoleClosed:
            return "dom0 is gone"
        status, said = found.groups[0].decode(), found.groups[1].decode(errors="replace").strip()
        return f"exit status {status}" + (f": {said}" if said else "")

    async def release(self) -> None:
        """Hang up and give its ports back, when it has gone. Raises QmpFailed, TimeoutError."""
        self.ended.cancel()
        try:
            if self.monitor is not None:
                await asyncio.wait_for(self.monitor.close(), 1.0)
        finally:
            for console in self.consoles:
                await self.host.machine.close_console(console)
            self.host.give_back(self.slot)

    async def vcpu_threads(self) -> list[int]:
        """Return dom0's thread ids of its vCPUs, by vCPU. Raises QmpFailed."""
        cpus = await self.qmp.execute("query-cpus-fast")
        return [cpu["thread-id"] for cpu in sorted(cpus, key=lambda cpu: int(cpu["cpu-index"]))]
