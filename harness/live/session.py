"""A live machine: started from a template or booted, with what people and their programs do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from base.errors import TestbedError, UsageError
from harness.cell import Cell
from harness.domain import Domain, DomainConfig
from harness.frozen import Frozen, freeze, thaw
from harness.links import Link
from harness.live.devices import Devices
from harness.live.wish import answers
from harness.resolve import resolve
from harness.runspec import RunSpec
from harness.scenario import Step
from harness.toolstacks.qemu import SYSRQ_KEY
from harness.verbs import StepFailed, verbs
from harness.warm import Warm, loses_cpus, set_cpus
from results.journal import Journal
from results.model import Scalar
from sim import snapshot
from sim.console import Console
from sim.errors import NoScreen
from sim.machine import Machine
from sim.platform import DOM0
from sim.screen import take_picture
from sim.spec import MachineSpec

# What one thing may take before we say that it hangs (s of a calm host).
WITHIN = 120.0
# A terminal's size is told to whoever answers soon (s).
SOON = 2.0
SNAPSHOTS, SCREENS = "snapshots", "screens"


class LiveCell(Cell):
    """A cell whose machine has the devices that a person wants, and can be saved at any time."""

    def __init__(self, *given: Any, devices: Devices, **named: Any) -> None:
        super().__init__(*given, **named)
        # Set when it boots, and there is something to be seen.
        self.started = asyncio.Event()
        self._devices = devices

    async def start_machine(
        self,
        name: str = DOM0,
        *,
        saved: Path | None = None,
        again: bool = True,
        also: Link | None = None,
        hostname: str | None = None,
        random: bool = True,
        base: MachineSpec | None = None,
    ) -> Machine:
        """Start it as any cell's, with the devices, and so that it can be saved `again` whatever the caller needs."""
        kept: list[IO[bytes]] = []
        wanted, also = self._devices.link(self.spec.platform, kept), also or Link()
        for file in kept:
            self.keep(file)
        both = Link((*also.args, *wanted.args), (*also.fds, *wanted.fds))
        machine = await super().start_machine(name, saved=saved, also=both, hostname=hostname, random=random, base=base)
        # Until a saved one has its state, what is typed at it is lost.
        if saved is None:
            self.started.set()
        return machine


@dataclass(frozen=True)
class Snapshot:
    """A state of a session that was saved: its folder, and what was known of dom0 then."""

    folder: Path
    frozen: Frozen


class Session:
    """A live machine. `facts` are what is known of how it started. All methods raise as `Cell.wait` does."""

    def __init__(self, cell: LiveCell, warm: Warm | None, facts: dict[str, Scalar], devices: Devices) -> None:
        self.cell = cell
        self.facts = facts
        self.snapshots: dict[str, Snapshot] = {}
        # What saved domUs were given, by domain and file.
        self.saved: dict[tuple[str, str], DomainConfig] = {}
        self.template = ""
        self.ours = answers(cell.spec)
        # Held while something of ours has dom0's command channel.
        self._asking = asyncio.Lock()
        self._warm = warm
        self._devices = devices
        self._screens = 0

    @property
    def machine(self) -> Machine:
        """The simulated machine, which a resumed snapshot replaces by another. Raises StepFailed before it started."""
        return self.cell.machine

    @property
    def folder(self) -> Path:
        """Where its evidence is."""
        return self.cell.directory

    async def prepare(self) -> None:
        """Bring the machine to where it is ready for the person: out of a template, or step by step."""
        steps = self.cell.spec.scenario.prepare
        if not self.ours:
            await self.cell.start_machine()
            return
        async with self._asking:
            await self._prepare(steps)

    async def _prepare(self, steps: tuple[Step, ...]) -> None:
        done = 0
        if self._warm is not None:
            done, template = await self._warm.resume()
            self.template = template.name if template else ""
        for index, step in enumerate(steps[done:], done):
            await self.do(step.verb, step.params)
            if self._warm is not None:
                await self._warm.keep(index + 1)
        if script := self._devices.script:
            await self.cell.must(DOM0, script, WITHIN)

    async def do(self, verb: str, params: Mapping[str, Any]) -> str | None:
        """Do what a verb of scenarios does, and return its remark. Raises what the verb raises."""
        known = verbs()[verb]
        remark: str | None = await known.function(self.cell, known.params.model_validate(params))
        return remark

    async def must(self, domain: str, command: str, within: float = WITHIN) -> str:
        """Run a command that must succeed in a domain, and return what it printed."""
        async with self._asking:
            return await self.cell.must(domain, command, within)

    async def create(self, config: DomainConfig) -> Domain:
        """Create a domU, which then boots."""
        if config.name in self.cell.domains:
            raise StepFailed(f"{config.name} is there already")
        async with self._asking:
            work = self.cell.toolstack.create(self.cell, config, self.cell.host(DOM0))
            domain = await self.cell.wait(f"{config.name} is created", work, WITHIN)
        self.cell.domains[config.name] = domain
        return domain

    async def forget(self, domain: Domain) -> None:
        """Give back the ports of a domU that has ended."""
        await domain.release()
        self.cell.domains.pop(domain.name, None)

    def consoles(self) -> dict[str, Console]:
        """Return the consoles that a person can join, by what they are."""
        found = {DOM0: self.machine.console}
        found |= {name: domain.console for name, domain in self.cell.domains.items()}
        if self.machine.spec.platform.consoles.command:
            found["dom0's second console"] = self.machine.command.console
        return found

    async def set_size(self, name: str, rows: int, columns: int) -> None:
        """Tell a domain how large the terminal at its console 0 is; one that does not answer soon is not told.

        Whatever of ours is at dom0's channel ends first: a boot, too.
        """
        if not self.ours:
            return
        where = self.cell.spec.platform if name == DOM0 else self.cell.hypervisor.domu
        command = f"stty -F /dev/{where.consoles.log} rows {rows} cols {columns}"
        async with self._asking:
            try:
                async with asyncio.timeout(SOON):
                    await self.cell.shell(name).run(command)
            except (TimeoutError, TestbedError) as error:
                self.cell.journal.note(f"{name} was not told the terminal's size: {error!r}")

    async def screenshot(self, path: Path | None = None) -> Path:
        """Write a picture of the machine's screen. Raises UsageError when it has none."""
        self._screens += 1
        target = path or self.folder / SCREENS / f"{self._screens}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            await take_picture(self.machine.qmp, target)
        except NoScreen as error:
            raise UsageError(error.message, hint="--screen gives it one") from error
        return target

    async def pause(self) -> None:
        """Let the machine stand still."""
        await self.machine.qmp.execute("stop")

    async def go_on(self) -> None:
        """Let it run again."""
        await self.machine.qmp.execute("cont")

    async def running(self) -> bool:
        """Whether it runs, and does not stand still."""
        return bool((await self.machine.qmp.execute("query-status"))["running"])

    async def send_break(self, key: str = "") -> None:
        """Send a break at console 0; with a `key`, Linux's SysRq."""
        if self.cell.spec.platform.consoles.log.startswith("hvc"):
            self.machine.console.send(SYSRQ_KEY + key)
            return
        await self.machine.qmp.execute("chardev-send-break", id="console")
        if key:
            self.machine.console.send(key)

    async def save(self, name: str) -> Snapshot:
        """Keep the state of the machine and its domUs under a name; it goes on. Raises UsageError for a name taken."""
        folder = self.folder / SNAPSHOTS / name
        if name in self.snapshots or folder.exists():
            raise UsageError(f"there is a snapshot '{name}' already")
        running = await self.running()
        if not running and loses_cpus(self.cell):
            raise UsageError("QEMU loses CPUs of such a machine when it is saved", hint="let it go on first")
        folder.mkdir(parents=True)
        if running:
            await self._set_cpus(online=False)
        try:
            await snapshot.save(self.machine, folder)
            self.snapshots[name] = Snapshot(folder, freeze(self.cell, {}))
        finally:
            if running:
                await snapshot.go_on(self.machine)
                await self._set_cpus(online=True)
        return self.snapshots[name]

    async def resume(self, name: str) -> None:
        """Put the machine back to a snapshot: another QEMU takes the place of this one. Raises UsageError."""
        if name not in self.snapshots:
            known = ", ".join(self.snapshots) or "none"
            raise UsageError(f"there is no snapshot '{name}'", hint=f"there are: {known}")
        kept = self.snapshots[name]
        for domain in list(self.cell.domains.values()):
            await domain.release()
        self.cell.domains.clear()
        self.cell.disks.clear()
        await self.cell.end_machine(DOM0)
        machine = await self.cell.start_machine(saved=kept.folder)
        await snapshot.load(machine, kept.folder)
        await thaw(self.cell, kept.frozen, WITHIN)
        for domain_name in (DOM0, *self.cell.domains) if self.ours else ():
            work = self.cell.shell(domain_name).challenge()
            await self.cell.wait(f"{domain_name} answers", work, WITHIN, domain=domain_name)
        await self._set_cpus(online=True)

    async def _set_cpus(self, *, online: bool) -> None:
        if self.ours:
            async with self._asking:
                await set_cpus(self.cell, online=online)


@asynccontextmanager
async def live_session(
    spec: RunSpec, folder: Path, devices: Devices | None = None, *, args: tuple[str, ...] = ()
) -> AsyncIterator[Session]:
    """Hold a machine of this run-spec for the block; `Session.prepare` starts it. Raises InfraError, OSError.

    `args` are more arguments of its QEMU.
    """
    plain = Devices()
    devices = devices or plain
    resolved = resolve(spec)
    facts: dict[str, Scalar] = {}
    with Journal(folder) as journal:

        def fact(name: str, value: Scalar) -> None:
            facts[name] = value
            journal.fact(name, value)

        def make(stack: AsyncExitStack, evidence: Path, more: Devices = plain, args: tuple[str, ...] = ()) -> LiveCell:
            return LiveCell(
                spec, evidence, journal, stack, resolved, fact=fact, args=args, may_reboot=True, devices=more
            )

        async with AsyncExitStack() as stack:
            cell = make(stack, folder, devices, args)
            warm = None if spec.templates == "none" else Warm(cell, make, facts)
            yield Session(cell, warm, facts, devices)
