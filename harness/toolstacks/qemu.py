"""The toolstack of KVM without libvirt: a QEMU in dom0 for each domU, steered by QMP."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from harness.domain import Domain, DomainConfig, DomainEnded, port
from harness.verbs import StepFailed
from sim.console import Console
from sim.qmp import Qmp
from sim.shell import Shell

if TYPE_CHECKING:
    from harness.cell import Cell

# How much of what a domU's QEMU printed goes with the news of its end.
FATE_LINES = 20


class QemuToolstack:
    """Starts domUs with dom0's own QEMU. Their consoles and QMP come out through virtio-serial ports."""

    async def ready(self, cell: Cell) -> str:
        """Let dom0's QEMU open the hypervisor and say whether it could. Raises StepFailed."""
        domu = cell.hypervisor.domu
        present = await cell.shell("dom0").run("test -c /dev/kvm")
        if present.status != 0:
            raise StepFailed("dom0's kernel has no KVM: /dev/kvm is not there")
        probe = [domu.program, "-L", domu.firmware_folder, "-machine", domu.machine, "-cpu", domu.cpu]
        probe += ["-m", self._memory(cell, domu.memory), "-S", "-nographic", "-nodefaults", "-monitor", "stdio"]
        answer = await cell.shell("dom0").run(f"printf 'info kvm\\nquit\\n' | {shlex.join(probe)}")
        if answer.status != 0 or "kvm support: enabled" not in answer.output:
            raise StepFailed(f"dom0's QEMU cannot open the hypervisor: {answer.output.strip()}")
        return "kvm support: enabled"

    async def create(self, cell: Cell, config: DomainConfig) -> Domain:
        """Start a domU's QEMU in dom0. Raises StepFailed for bad sizes, DomainEnded when it ends at once."""
        quantum, name, machine = cell.hypervisor.domu.memory_quantum, config.name, cell.machine
        if config.memory % quantum:
            raise StepFailed(f"{name}: {config.memory} MiB is not a multiple of {quantum} MiB")
        fate = await self._console(cell, name, "fate", log=False)
        qmp = Qmp(name, machine.evidence / "qmp" / f"{name}.jsonl", began=machine.began)
        domain = Domain(
            config=config,
            console=await self._console(cell, name, "console"),
            command=Shell(await self._console(cell, name, "command", log=False)),
            qmp=qmp,
            fate=fate,
        )
        greeting = asyncio.create_task(qmp.connect(machine.port(port(name, "qmp"))))
        try:
            await cell.shell("dom0").run(self._launch(cell, config))
            await asyncio.wait({greeting, domain.ended}, return_when=asyncio.FIRST_COMPLETED)
            if not greeting.done():
                raise DomainEnded(f"{name}: its QEMU ended at once with {domain.ended.result()}")
            await greeting
        finally:
            if not greeting.done():
                greeting.cancel()
                await asyncio.wait({greeting})
        return domain

    async def _console(self, cell: Cell, name: str, use: str, *, log: bool = True) -> Console:
        title = name if use == "console" else f"{name}-{use}"
        return await cell.machine.open_console(title, cell.machine.port(port(name, use)), log=log)

    def _memory(self, cell: Cell, memory: int) -> str:
        most = max(cell.hypervisor.domu.max_memory, memory)
        return f"{memory}M,maxmem={most}M,slots=2"

    def _launch(self, cell: Cell, config: DomainConfig) -> str:
        """Return the script that starts the domU in the background and tells its end on its fate port."""
        domu, name = cell.hypervisor.domu, config.name
        consoles = domu.consoles
        append = f"console={consoles.log} testbed.command={consoles.command} testbed.hostname={name} {config.append}"
        args = [domu.program, "-name", name, "-L", domu.firmware_folder, "-machine", domu.machine]
        args += ["-cpu", domu.cpu, "-m", self._memory(cell, config.memory), "-smp", str(config.vcpus)]
        args += ["-nographic", "-nodefaults", "-action", "reboot=shutdown,shutdown=pause"]
        for use in ("console", "command", "qmp"):
            args += ["-chardev", f"pipe,id={use},path=/dev/virtio-ports/{port(name, use)}"]
        args += ["-serial", "chardev:console", "-serial", "chardev:command", "-mon", "chardev=qmp,mode=control"]
        args += ["-kernel", domu.kernel, "-initrd", domu.initrd, "-append", append.strip()]
        log, fate = f"/run/{name}.log", f"/dev/virtio-ports/{port(name, 'fate')}"
        return (
            f"{{ {shlex.join(args)} >{log} 2>&1; status=$?\n"
            f"  {{ echo ended $status; tail -n {FATE_LINES} {log}; echo ended.; }} >{fate}\n"
            f"}} </dev/null >/dev/null 2>&1 &"
        )
