"""A cell while it runs: what its steps work with."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

from harness.bootdisk import boot_from_disk
from harness.domain import Disk, Domain, while_alive
from harness.host import Host
from harness.hypervisor import Hypervisor
from harness.kernel import KernelIdentity
from harness.links import Link, Links
from harness.machine import machine_spec, ports_of, slots_of
from harness.resolve import Resolved
from harness.runspec import RunSpec
from harness.toolstacks import Toolstack, find_toolstack
from harness.verbs import StepFailed
from results.journal import Journal
from results.model import Scalar
from sim.console import Console
from sim.deadline import Budget
from sim.errors import QmpFailed
from sim.machine import Machine
from sim.platform import DOM0
from sim.qmp import Qmp
from sim.shell import Answer, Shell
from sim.snapshot import copied_memory, memory_file, saved_memory
from sim.spec import MachineSpec, Ram

T = TypeVar("T")
# So much of a command is told in an error.
SHOWN = 60


@dataclass(frozen=True)
class Shape:
    """What a domain's machine was given: regular expressions for its model and CPUs, how many, memory in MiB."""

    model: str
    cpu: str
    cpus: int
    memory: int


class Cell:
    """The state of one execution.

    `resolved` is what the run-spec's images turned out to be; `fact` records a circumstance for the result. `args` are
    more arguments of the machine's QEMU; one that `may_reboot` is not stopped by a reset from inside.
    """

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        journal: Journal,
        stack: AsyncExitStack,
        resolved: Resolved,
        *,
        fact: Callable[[str, Scalar], None],
        args: tuple[str, ...] = (),
        may_reboot: bool = False,
    ) -> None:
        self.spec = spec
        self.journal = journal
        self.fact = fact
        self.debugger = resolved.debugger
        self.domains: dict[str, Domain] = {}
        self.disks: dict[str, Disk] = {}
        # What steps leave for later steps of their kind, by a name of theirs.
        self.notes: dict[str, Any] = {}
        self.machine_spec = machine_spec(spec, resolved, args=args, may_reboot=may_reboot)
        self._slots = slots_of(spec)
        self._loader = resolved.loader
        self.directory = directory
        self._stack = stack
        self._hosts: dict[str, Host] = {}
        # How many processes each domU has had.
        self.incarnations: Counter[str] = Counter()
        self._links = Links(spec.scenario.hosts, spec.scenario.machine.shared_disk)
        stack.callback(self._links.close)

    @property
    def hypervisor(self) -> Hypervisor:
        """What is under test."""
        return self.spec.hypervisor

    @cached_property
    def toolstack(self) -> Toolstack:
        """What creates and steers domUs. Raises StepFailed when there is none."""
        if self.hypervisor.toolstack is None:
            raise StepFailed(f"{self.hypervisor.name} has no toolstack", hint="see `toolstack` in its file")
        return find_toolstack(self.hypervisor.toolstack)

    @property
    def machine(self) -> Machine:
        """The simulated machine of the first dom0. Raises StepFailed before it was started."""
        return self.host(DOM0).machine

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The simulated machines that were started."""
        return tuple(host.machine for host in self._hosts.values())

    def host(self, name: str) -> Host:
        """Return a dom0 that was started. Raises StepFailed."""
        if name not in self._hosts:
            raise StepFailed(f"no machine {name} yet", hint="a scenario begins with the step `boot-dom0`")
        return self._hosts[name]

    def is_host(self, name: str) -> bool:
        """Whether a domain's name is that of a dom0."""
        return name in self.spec.scenario.hosts or name in self._hosts

    def identity(self, name: str) -> KernelIdentity:
        """Return which kernel a domain is meant to run. Raises StepFailed for a domU where there can be none."""
        identity = self.spec.kernel_identity if self.is_host(name) else self.spec.domu_identity
        if identity is None:
            raise StepFailed(f"{self.hypervisor.name} has no toolstack, so no domU can be made")
        return identity

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
        """Start a simulated machine; it lives until the cell ends, or `end_machine`. Raises QemuRefused, InfraError.

        With `saved` it waits for the state that is in that folder; then `again` says whether it may itself be saved.
        `also` is what its QEMU is given besides; its dom0 calls itself by `name` unless there is a `hostname`; `random`
        says whether it has a random device. `base` is what it is, where that is not the cell's own (`machine_spec`).
        """
        link = self._links.of(name, self.spec.platform)
        also = also or Link()
        base = base or self.machine_spec
        spec = replace(
            base,
            name=name,
            hostname=hostname or name,
            random=random,
            ports=ports_of(self._slots),
            args=(*base.args, *link.args, *also.args),
            fds=(*link.fds, *also.fds),
            ram=self._memory(name, saved, again=again),
            incoming=saved is not None,
        )
        if self._loader:
            spec, disk = boot_from_disk(spec, self._loader, self.directory)
            self._stack.callback(os.close, disk)
        machine = Machine(spec, self.directory)
        self._hosts[name] = Host(name, machine, self._slots)
        await self._stack.enter_async_context(machine)
        self._stack.push_async_callback(self._close_domains, self._hosts[name])
        return machine

    async def end_machine(self, name: str) -> None:
        """End a machine before the cell ends; its evidence stays. Raises StepFailed if there is none of that name."""
        await self.host(name).machine.stop()
        del self._hosts[name]

    def keep(self, file: IO[bytes]) -> None:
        """Have a file closed when the cell ends."""
        self._stack.callback(file.close)

    def _memory(self, name: str, saved: Path | None, *, again: bool) -> Ram | None:
        """Return the file that becomes the memory of a machine that is, or will be, saved with mapped memory."""
        if self.spec.templates == "none" or self.spec.platform.saved_memory != "mapped":
            return None
        title = f"{name}-ram"
        if saved is None:
            ram: Ram | None = memory_file(title, self.machine_spec.memory)
        else:
            ram = copied_memory(saved, title) if again else saved_memory(saved)
        if ram is not None:
            self._stack.callback(os.close, ram.descriptor)
        return ram

    def incarnation(self, name: str) -> str:
        """Return the name for the evidence of a domU's next process: `u1`, then `u1.2`, and so on."""
        self.incarnations[name] += 1
        count = self.incarnations[name]
        return name if count == 1 else f"{name}.{count}"

    def budget(self, seconds: float, silence: float = math.inf) -> Budget:
        """Return a deadline of so many seconds of a calm host, scaled by the run's factor."""
        return Budget.of(seconds, factor=self.spec.factor, silence=silence)

    def domain(self, name: str) -> Domain:
        """Return a domU that was created. Raises StepFailed."""
        if name not in self.domains:
            raise StepFailed(f"{name} was not created", hint=f"put the step `create: {name}` before this one")
        return self.domains[name]

    def shape(self, name: str) -> Shape:
        """Return what dom0's or a domU's machine was given. Raises StepFailed."""
        if self.is_host(name):
            tree, spec = self.spec.platform.device_tree, self.machine_spec
            return Shape(tree.model, tree.cpu, spec.cpus, self.hypervisor.dom0_memory or spec.memory)
        tree, config = self.hypervisor.domu.device_tree, self.domain(name).config
        return Shape(tree.model, tree.cpu, config.vcpus, config.memory)

    def shell(self, name: str) -> Shell:
        """Return the command channel of dom0 or of a domU. Raises StepFailed."""
        return self.host(name).machine.command if self.is_host(name) else self.domain(name).command

    def qmp(self, name: str) -> Qmp:
        """Return the QMP session of dom0's machine or of a domU. Raises StepFailed."""
        return self.host(name).machine.qmp if self.is_host(name) else self.domain(name).qmp

    async def vcpu_threads(self, name: str, seconds: float) -> list[int]:
        """Return dom0's thread ids of a domU's vCPUs, by vCPU. Raises as `wait`."""
        work = self.domain(name).vcpu_threads()
        return await self.wait(f"{name}'s QEMU tells its vCPUs", work, seconds, domain=name)

    def console(self, name: str) -> Console:
        """Return console 0 of dom0 or of a domU. Raises StepFailed."""
        return self.host(name).machine.console if self.is_host(name) else self.domain(name).console

    async def wait(
        self,
        what: str,
        work: Coroutine[Any, Any, T],
        seconds: float,
        *,
        domain: str = DOM0,
        silence: float | None = None,
    ) -> T:
        """Wait for `work` on the machine, at most `seconds` of a calm host, or until the domU it is about ends.

        With `silence`, the domain's console must print something at least so often (seconds of a calm host).
        Raises what `sim.machine.Machine.wait` raises, and DomainEnded.
        """
        budget = self.budget(seconds) if silence is None else self.budget(seconds, silence)
        speaker = None if silence is None else self.console(domain)
        if domain not in self.domains:
            name = domain if domain in self._hosts else DOM0
            return await self.host(name).machine.wait(what, work, budget, speaker=speaker)
        running = self.domains[domain]
        guarded = while_alive(running, f"{what}: {running.name} ended", work)
        return await running.host.machine.wait(what, guarded, budget, speaker=speaker)

    async def run(self, domain: str, command: str, seconds: float) -> Answer:
        """Run a command in a domain and return its answer, whatever its status. Raises as `wait`."""
        shown = " ".join(command.split())
        short = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        return await self.wait(f"{domain} runs `{short}`", self.shell(domain).run(command), seconds, domain=domain)

    async def must(self, domain: str, command: str, seconds: float) -> str:
        """Run a command in a domain that must succeed, and return what it printed. Raises StepFailed, and as `wait`."""
        answer = await self.run(domain, command, seconds)
        output = answer.output.strip()
        if answer.status != 0:
            shown = " ".join(command.split())
            raise StepFailed(
                f"{domain}: {output or 'nothing was printed'} (exit status {answer.status} of `{shown[:SHOWN]}`)"
            )
        return output

    def evidence(self, name: str, text: str) -> None:
        """Keep a text as a file of evidence."""
        (self.directory / name).write_text(text.rstrip() + "\n")

    def excuse_domains(self) -> bool:
        """Let alarms of domUs that have been told end no more waits. Returns whether the first dom0 is still there."""
        for domain in self.domains.values():
            domain.console.excused = domain.console.excused or domain.console.alarming
        dom0 = self._hosts.get(DOM0)
        return dom0 is not None and not dom0.machine.console.alarming and not dom0.machine.process.exited.done()

    async def control(self, name: str, what: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Wait for what the toolstack does with a domU, which may end of it. Raises as `Machine.wait`."""
        return await self.domain(name).host.machine.wait(what, work, self.budget(seconds))

    async def _close_domains(self, host: Host) -> None:
        for domain in [domain for domain in self.domains.values() if domain.host is host]:
            try:
                await domain.release()
            except (TimeoutError, QmpFailed) as error:
                self.journal.note(f"{domain.name}: its QMP session did not end in order: {error!r}")
