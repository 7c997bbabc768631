"""A cell while it runs: what its steps work with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.domain import PORTS, Domain, DomainEnded, port
from harness.hypervisor import Hypervisor
from harness.runspec import RunSpec
from harness.toolstacks import Toolstack, find_toolstack
from harness.verbs import StepFailed
from results.journal import Journal
from results.model import Scalar
from sim.console import Console
from sim.deadline import Budget
from sim.errors import QmpFailed
from sim.machine import Machine, MachineSpec
from sim.qemu import QemuBinary
from sim.shell import Answer, Shell

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """What a domain's machine was given: regular expressions for its model and CPUs, how many, memory in MiB."""

    model: str
    cpu: str
    cpus: int
    memory: int


class Cell:
    """The state of one execution.

    `kernel`, `initrd` and `qemu` are what the run-spec's images turned out to be; `fact` records a circumstance
    for the result.
    """

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        journal: Journal,
        stack: AsyncExitStack,
        *,
        fact: Callable[[str, Scalar], None],
        qemu: QemuBinary,
        kernel: Path,
        initrd: Path,
        args: tuple[str, ...] = (),
        may_reboot: bool = False,
    ) -> None:
        self.spec = spec
        self.journal = journal
        self.fact = fact
        self.domains: dict[str, Domain] = {}
        self.toolstack: Toolstack = find_toolstack(spec.hypervisor.toolstack)
        self.machine_spec = MachineSpec(
            platform=spec.platform,
            qemu=qemu,
            firmware=spec.firmware,
            kernel=kernel,
            initrd=initrd,
            append=spec.append,
            cpus=spec.platform.cpus,
            ports=tuple(port(domain, use) for domain in spec.scenario.domus for use in PORTS),
            args=args,
            may_reboot=may_reboot,
            alarms=spec.hypervisor.alarms,
        )
        self._directory = directory
        self._stack = stack
        self._machine: Machine | None = None

    @property
    def hypervisor(self) -> Hypervisor:
        """What is under test."""
        return self.spec.hypervisor

    @property
    def machine(self) -> Machine:
        """The simulated machine. Raises StepFailed before it was started."""
        if self._machine is None:
            raise StepFailed("no machine yet", hint="a scenario begins with the step `boot-dom0`")
        return self._machine

    @property
    def started(self) -> Machine | None:
        """The simulated machine if there is one."""
        return self._machine

    async def start_machine(self) -> Machine:
        """Start the simulated machine; it lives until the cell ends. Raises QemuRefused, InfraError."""
        machine = Machine(self.machine_spec, self._directory)
        self._machine = machine
        await self._stack.enter_async_context(machine)
        self._stack.push_async_callback(self._close_domains)
        return machine

    def budget(self, seconds: float) -> Budget:
        """Return a deadline of so many seconds of a calm host, scaled by the run's factor."""
        return Budget.of(seconds, factor=self.spec.factor)

    def domain(self, name: str) -> Domain:
        """Return a domU that was created. Raises StepFailed."""
        if name not in self.domains:
            raise StepFailed(f"{name} was not created", hint=f"put the step `create: {name}` before this one")
        return self.domains[name]

    def shape(self, name: str) -> Shape:
        """Return what dom0's or a domU's machine was given. Raises StepFailed."""
        if name == "dom0":
            tree, spec = self.spec.platform.device_tree, self.machine_spec
            return Shape(tree.model, tree.cpu, spec.cpus, spec.memory or self.spec.platform.memory)
        tree, config = self.hypervisor.domu.device_tree, self.domain(name).config
        return Shape(tree.model, tree.cpu, config.vcpus, config.memory)

    def shell(self, name: str) -> Shell:
        """Return the command channel of dom0 or of a domU. Raises StepFailed."""
        return self.machine.command if name == "dom0" else self.domain(name).command

    def console(self, name: str) -> Console:
        """Return console 0 of dom0 or of a domU. Raises StepFailed."""
        return self.machine.console if name == "dom0" else self.domain(name).console

    async def wait(self, what: str, work: Coroutine[Any, Any, T], seconds: float, *, domain: str = "dom0") -> T:
        """Wait for `work` on the machine, at most `seconds` of a calm host, or until the domU it is about ends.

        Raises what `sim.machine.Machine.wait` raises, and DomainEnded.
        """
        if domain == "dom0" or domain not in self.domains:
            return await self.machine.wait(what, work, self.budget(seconds))
        guarded = _while_alive(self.domains[domain], what, work)
        return await self.machine.wait(what, guarded, self.budget(seconds))

    async def run(self, domain: str, command: str, seconds: float) -> Answer:
        """Run a command in a domain and return its answer, whatever its status. Raises as `wait`."""
        short = command if len(command) <= 60 else f"{command[:57]}..."
        return await self.wait(f"{domain} runs `{short}`", self.shell(domain).run(command), seconds, domain=domain)

    async def _close_domains(self) -> None:
        for domain in self.domains.values():
            domain.ended.cancel()
            try:
                await asyncio.wait_for(domain.qmp.close(), 1.0)
            except (TimeoutError, QmpFailed) as error:
                self.journal.note(f"{domain.name}: its QMP session did not end in order: {error!r}")


async def _while_alive(domain: Domain, what: str, work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, domain.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise DomainEnded(f"{what}: {domain.name}'s QEMU ended with {domain.ended.result()}")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
