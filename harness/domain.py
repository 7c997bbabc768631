"""A domU as the harness sees it: its consoles, its toolstack's QMP, and its fate."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from base.errors import TestbedError
from sim.console import Console, ConsoleClosed
from sim.qmp import Qmp
from sim.shell import Shell

# What each domU needs of dom0's virtio-serial ports, by what they carry.
PORTS = ("console", "command", "qmp", "fate")


def port(domain: str, use: str) -> str:
    """Return the name of the virtio-serial port that carries `use` of a domain."""
    return f"{domain}.{use}"


class DomainEnded(TestbedError):
    """The domU's QEMU ended while something of it was awaited."""


@dataclass(frozen=True)
class DomainConfig:
    """A domU to create: memory in MiB, `append` is added to its kernel's command line."""

    name: str
    memory: int
    vcpus: int = 1
    append: str = ""


@dataclass
class Domain:
    """A running domU. `ended` is done when its QEMU in dom0 has gone, with what that printed."""

    config: DomainConfig
    console: Console
    command: Shell
    qmp: Qmp
    fate: Console
    ended: asyncio.Task[str] = field(init=False)

    @property
    def name(self) -> str:
        """The domU's name."""
        return self.config.name

    def __post_init__(self) -> None:
        self.ended = asyncio.create_task(self._watch(), name=f"fate-{self.name}")

    async def _watch(self) -> str:
        try:
            found = await self.fate.expect(re.compile(rb"ended (\d+)\r?\n(.*?)ended\.", re.DOTALL))
        except ConsoleClosed:
            return "dom0 is gone"
        status, said = int(found.groups[0]), found.groups[1].decode(errors="replace").strip()
        return f"exit status {status}" + (f": {said}" if said else "")
