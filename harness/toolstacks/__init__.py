"""What creates and steers domUs from dom0."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from base.errors import TestbedError, UsageError
from base.yamlmodel import suggest
from harness.domain import Disk, Domain, DomainConfig
from harness.verbs import StepFailed
from sim.elf import Order

if TYPE_CHECKING:
    from harness.cell import Cell
    from harness.host import Host, Slot


@dataclass(frozen=True)
class DomainRow:
    """A line of the list of domains: memory in MiB, `cpu_time` in seconds."""

    name: str
    state: str
    memory: int
    vcpus: int
    cpu_time: float


@dataclass(frozen=True)
class HypervisorInfo:
    """What a toolstack says of its hypervisor: its name and version, CPUs, and free memory in MiB."""

    name: str
    cpus: int
    free: int


@dataclass(frozen=True)
class HypervisorLog:
    """A hypervisor's log: its lines, which of them tells the version, and that which was just asked for."""

    lines: tuple[str, ...]
    version: str
    news: str


@dataclass(frozen=True)
class Migrated:
    """What a migration took, in milliseconds, and what it sent, in bytes (None: the toolstack does not tell)."""

    total: int
    downtime: int | None
    sent: int | None


# How a domain stopped of its own will, and what QEMU gives as the reason of its SHUTDOWN event for the first two
# (qapi/run-state.json, ShutdownCause).
Stop = Literal["power-off", "reset", "crash"]
STOPS: dict[str, Stop] = {"guest-shutdown": "power-off", "guest-reset": "reset", "guest-panic": "crash"}


class Toolstack(Protocol):
    """What every toolstack can do, in `xl`'s words. Waits are bounded by the step that calls.

    All raise StepFailed or QmpFailed when the hypervisor refuses, and DomainEnded when the domU goes unasked.
    """

    async def ready(self, cell: Cell) -> str:
        """Ask the hypervisor through the toolstack whether it is there; returns its words."""
        ...

    async def create(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Start a domU and open its channels."""
        ...

    async def install(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Let the toolstack's installer (virt-install) make a domU, start it, and open its channels."""
        ...

    async def adopt(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot) -> Domain:
        """Take up a domU that runs already, because its dom0 was resumed from a saved state."""
        ...

    async def list(self, cell: Cell, host: Host) -> list[DomainRow]:
        """List the domUs of a dom0."""
        ...

    async def info(self, cell: Cell, host: Host) -> HypervisorInfo:
        """Describe the hypervisor and what it has left."""
        ...

    async def pause(self, domain: Domain) -> None:
        """Take the CPUs from a domU."""
        ...

    async def unpause(self, domain: Domain) -> None:
        """Give them back."""
        ...

    async def shutdown(self, domain: Domain) -> None:
        """Ask a domU to switch itself off; returns when it has."""
        ...

    async def reboot(self, domain: Domain) -> None:
        """Reset a domU; returns when it begins anew."""
        ...

    async def destroy(self, domain: Domain) -> None:
        """End a domU at once; returns when it is gone."""
        ...

    async def save(self, domain: Domain, path: str) -> int:
        """Write a domU's state to a file in dom0 and end it; returns the file's size in bytes."""
        ...

    async def restore(self, cell: Cell, config: DomainConfig, host: Host, path: str) -> Domain:
        """Make a domU of a saved state, running. Raises StateRefused."""
        ...

    async def managed_save(self, domain: Domain) -> None:
        """Keep a domU's state under its own name, and end it."""
        ...

    async def start_saved(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Start a domU whose state is kept so: it goes on. Raises StateRefused."""
        ...

    async def migrate(
        self, cell: Cell, domain: Domain, to: Host, accepts: DomainConfig | None = None
    ) -> tuple[Domain, Migrated]:
        """Move a running domU to another dom0, or to another process of the same one.

        `accepts` is what the other side was told to expect (None: the domU as it is). When it fails, the
        domU goes on where it is, and MigrationFailed is raised.
        """
        ...

    async def set_memory(self, domain: Domain, target: int) -> int:
        """Ask a domU's balloon for a size in MiB; returns what it has when that no longer changes.

        Beyond its maximum some give it that, others raise MemoryRefused.
        """
        ...

    async def memory(self, domain: Domain) -> int:
        """Return what a domU has at this moment, in MiB."""
        ...

    async def set_vcpus(self, domain: Domain, count: int) -> None:
        """Plug CPUs in or out until there are `count`."""
        ...

    async def attach_memory(self, domain: Domain, size: int) -> None:
        """Plug so many MiB of memory into a running domU."""
        ...

    async def detach_memory(self, domain: Domain) -> None:
        """Take what was plugged in last out again; returns when the domU has let go of it."""
        ...

    async def pin(self, domain: Domain, cpu: int) -> None:
        """Bind all vCPUs of a domU to one CPU of the hypervisor's."""
        ...

    async def cpu_times(self, domain: Domain) -> Sequence[int]:
        """Return how long each vCPU has run, by the hypervisor's account, in ticks of 1/100 s."""
        ...

    async def ran_on(self, host: Host, domains: Sequence[Domain], seconds: int) -> dict[int, int]:
        """Return for how many ticks each CPU of the hypervisor's runs guests in so many seconds; these are all busy."""
        ...

    async def stopped(self, domain: Domain) -> Stop:
        """Wait until a domU stops of its own will, and return in which way the hypervisor says that it did."""
        ...

    async def sysrq(self, domain: Domain, key: str) -> None:
        """Send a SysRq key to a domU's kernel."""
        ...

    async def set_weight(self, domain: Domain, weight: int) -> None:
        """Give a domU's CPUs less of a busy dom0: 0 (all that others get) to 19 (least)."""
        ...

    async def attach_disk(self, domain: Domain, disk: Disk) -> None:
        """Plug a disk into a running domU."""
        ...

    async def detach_disk(self, domain: Domain, disk: Disk) -> None:
        """Take it out again; returns when the domU has let go of it."""
        ...

    async def attach_nic(self, domain: Domain, mac: str) -> None:
        """Plug a network card into a running domU, its other end on dom0's bridge."""
        ...

    async def detach_nic(self, domain: Domain, mac: str) -> None:
        """Take it out again; returns when the domU has let go of it."""
        ...

    async def set_link(self, domain: Domain, *, up: bool) -> None:
        """Pull the network cable of a domU's first card, or plug it in."""
        ...

    async def dump_core(self, domain: Domain, path: str) -> None:
        """Write a domU's memory to a file in dom0 as an ELF core."""
        ...

    async def find_in_core(self, domain: Domain, path: str, address: int, order: Order) -> int:
        """Return where in a dump the byte of a kernel's address is; `order` is that of the bytes in a word."""
        ...

    async def log(self, host: Host, mark: str) -> HypervisorLog:
        """Let the hypervisor write to its log, `mark` if it can be told what, and return all of the log."""
        ...

    async def examine(self, domain: Domain) -> str:
        """Return what can be told of a domU after a failure, for people."""
        ...

    async def open_debugger(self, domain: Domain) -> socket.socket:
        """Stop a domU for a gdb, whose end of the connection is returned."""
        ...

    async def close_debugger(self, domain: Domain) -> None:
        """Let no gdb in any more."""
        ...


class KeepsNoDomains:
    """A toolstack that knows only the domUs that run, and what it refuses for that. Scenarios say `needs:`."""

    async def install(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Refuse. Raises StepFailed."""
        raise StepFailed(f"there is no installer for {config.name}", hint="give the scenario `needs: [installer]`")

    async def managed_save(self, domain: Domain) -> None:
        """Refuse. Raises StepFailed."""
        hint = "give the scenario `needs: [managed-save]`"
        raise StepFailed(f"{domain.name} can only be saved to a file", hint=hint)

    async def start_saved(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Refuse. Raises StepFailed."""
        raise StepFailed(f"no state of {config.name}'s is kept", hint="give the scenario `needs: [managed-save]`")


class StateRefused(TestbedError):
    """A saved state was not taken in."""


class MemoryRefused(TestbedError):
    """A domU was not given more memory than it may have, and none was taken from it."""


class MigrationFailed(TestbedError):
    """A migration did not take place; the domU is where it was."""


def find_toolstack(name: str) -> Toolstack:
    """Return a toolstack by name. Raises UsageError."""
    from harness.toolstacks.libvirt import LibvirtToolstack  # noqa: PLC0415  (imports this module)
    from harness.toolstacks.qemu import QemuToolstack  # noqa: PLC0415  (as well)
    from harness.toolstacks.xl import XlToolstack  # noqa: PLC0415  (as well)

    known: dict[str, Callable[[], Toolstack]] = {"libvirt": LibvirtToolstack, "qemu": QemuToolstack, "xl": XlToolstack}
    if name not in known:
        raise UsageError(f"no toolstack '{name}'{suggest(name, list(known))}")
    return known[name]()
