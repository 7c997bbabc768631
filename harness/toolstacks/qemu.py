"""The toolstack of KVM without libvirt: a QEMU in dom0 for each domU, steered by QMP."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from base.errors import TestbedError
from harness.domain import Disk, Domain, DomainConfig, while_alive
from harness.host import BRIDGE, DEBUGGER, Host, Slot
from harness.toolstacks import STOPS, DomainRow, HypervisorInfo, HypervisorLog, KeepsNoDomains, Migrated, Stop
from harness.toolstacks import qemu_cpus as cpus
from harness.toolstacks import qemu_devices as devices
from harness.toolstacks import qemu_state as state
from harness.toolstacks.cores import HEAD, PHYSICAL, core_offset, read_dump
from harness.toolstacks.qemu_args import arguments, launch_script, memory_argument
from harness.verbs import StepFailed
from sim.console import Console
from sim.elf import Order
from sim.qmp import Qmp
from sim.shell import Shell
from sim.stub import close_stub, open_stub

if TYPE_CHECKING:
    from harness.cell import Cell

# The unit of the times in /proc/PID/stat (proc(5): clock ticks, USER_HZ).
TICKS = 100.0
SYSRQ_KEY = "\x0f"  # Control-O: hvc_console takes it for a break (drivers/tty/hvc/hvc_console.c)
# The domUs of a dom0 by what their QEMUs say: name, utime and stime.
_LIST = r"""
for each in /proc/[0-9]*; do
    [ "$(readlink $each/exe)" = PROGRAM ] || continue
    name=$(tr '\0' '\n' <$each/cmdline | sed -n '/^-name$/{n;p;}')
    echo "$name $(sed 's/.*) //' $each/stat | cut -d' ' -f12,13)"
done
true
"""


class QemuToolstack(KeepsNoDomains):
    """Starts domUs with dom0's own QEMU. Their consoles and QMP come out through virtio-serial ports."""

    async def ready(self, cell: Cell) -> str:
        """Let dom0's QEMU open the hypervisor and say whether it could. Raises StepFailed."""
        domu = cell.hypervisor.domu
        present = await cell.shell("dom0").run("test -c /dev/kvm")
        if present.status != 0:
            raise StepFailed("dom0's kernel has no KVM: /dev/kvm is not there")
        probe = [domu.program, "-L", domu.firmware_folder, "-machine", domu.machine, "-cpu", domu.cpu]
        probe += ["-m", memory_argument(domu, domu.memory), "-S", "-nographic", "-nodefaults", "-monitor", "stdio"]
        answer = await cell.shell("dom0").run(f"printf 'info kvm\\nquit\\n' | {shlex.join(probe)}")
        if answer.status != 0 or "kvm support: enabled" not in answer.output:
            raise StepFailed(f"dom0's QEMU cannot open the hypervisor: {answer.output.strip()}")
        return "kvm support: enabled"

    async def create(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Start a domU's QEMU in dom0, and let the domU run. Raises as `launch`."""
        return await self.launch(cell, config, host, incoming=False)

    async def launch(self, cell: Cell, config: DomainConfig, host: Host, *, incoming: bool) -> Domain:
        """Start a domU's QEMU: to boot, or to wait for the state of one.

        It boots only once its QEMU answers: what becomes of a guest is not for its creation to notice.
        Raises StepFailed for bad sizes, DomainEnded when it ends at once, QmpFailed.
        """
        quantum = cell.hypervisor.domu.memory_quantum
        if config.memory % quantum:
            raise StepFailed(f"{config.name}: {config.memory} MiB is not a multiple of {quantum} MiB")
        domain = await self._open(cell, config, host, host.take())
        slot, machine = domain.slot, host.machine
        try:
            args = arguments(cell.hypervisor.domu, config, slot, incoming=incoming)
            if not incoming:
                args.append("-S")
            answer = await machine.command.run(launch_script(args, config, slot))
            if answer.status != 0:
                raise StepFailed(f"{config.name} cannot be started: {answer.output.strip()}")
            greeting = domain.qmp.connect(machine.port(slot.port("qmp")))
            await while_alive(domain, f"{config.name}: its QEMU ended at once", greeting)
            if not incoming:
                await domain.qmp.execute("cont")
        except BaseException:
            await domain.release()
            raise
        return domain

    async def adopt(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot) -> Domain:
        """Take up a domU whose QEMU runs in a resumed dom0. Raises QmpFailed."""
        domain = await self._open(cell, config, host, slot)
        await domain.qmp.connect(host.machine.port(slot.port("qmp")), greets=False)
        await domain.qmp.execute("query-status")
        return domain

    async def _open(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot) -> Domain:
        machine = host.machine
        title = cell.incarnation(config.name)

        async def console(use: str, *, log: bool = False) -> Console:
            name = title if log else f"{title}-{use}"
            return await machine.open_console(name, machine.port(slot.port(use)), log=log)

        return Domain(
            config=config,
            host=host,
            slot=slot,
            console=await console("console", log=True),
            command=Shell(await console("command")),
            fate=await console("fate"),
            monitor=Qmp(title, machine.evidence / "qmp" / f"{title}.jsonl", began=machine.began),
        )

    async def list(self, cell: Cell, host: Host) -> list[DomainRow]:
        """List the domUs whose QEMUs run in a dom0, with what those say. Raises StepFailed, QmpFailed."""
        answer = await host.machine.command.run(_LIST.replace("PROGRAM", cell.hypervisor.domu.program))
        if answer.status != 0:
            raise StepFailed(f"{host.name} does not list its processes: {answer.output.strip()}")
        rows = []
        for name, user, system in (line.split() for line in answer.output.splitlines()):
            time = (int(user) + int(system)) / TICKS
            domain = cell.domains.get(name)
            if domain is None or domain.host is not host:
                rows.append(DomainRow(name, "unknown", 0, 0, time))
                continue
            status = await domain.qmp.execute("query-status")
            memory = await domain.qmp.execute("query-memory-size-summary")
            vcpus = await domain.vcpu_threads()
            rows.append(DomainRow(name, str(status["status"]), memory["base-memory"] >> 20, len(vcpus), time))
        return rows

    async def info(self, cell: Cell, host: Host) -> HypervisorInfo:
        """Tell dom0's kernel, CPUs and free memory, and the QEMUs' word on KVM. Raises StepFailed, QmpFailed."""
        answer = await host.machine.command.run("uname -r; nproc; sed -n 's/^MemFree: *//p' /proc/meminfo")
        release, cpus, free = answer.output.splitlines()
        for domain in cell.domains.values():
            kvm = await domain.qmp.execute("query-kvm")
            if not (kvm["present"] and kvm["enabled"]):
                raise StepFailed(f"{domain.name} does not run under KVM: {kvm}")
        return HypervisorInfo(f"KVM, Linux {release}", int(cpus), int(free.split()[0]) >> 10)

    async def pause(self, domain: Domain) -> None:
        """Stop a domU's vCPUs. Raises QmpFailed."""
        await domain.qmp.execute("stop")

    async def unpause(self, domain: Domain) -> None:
        """Let a domU's vCPUs run. Raises QmpFailed."""
        await domain.qmp.execute("cont")

    async def shutdown(self, domain: Domain) -> None:
        """Send the power-off request that PAPR calls EPOW, wait for the guest to comply, and end its QEMU."""
        seen = len(domain.qmp.events)
        await domain.qmp.execute("system_powerdown")
        event = await domain.qmp.event("SHUTDOWN", since=seen)
        if event["data"]["reason"] != "guest-shutdown":
            raise StepFailed(f"{domain.name} ended with {event['data']['reason']}, not by switching itself off")
        await self.destroy(domain)

    async def reboot(self, domain: Domain) -> None:
        """Reset the domU's machine. Raises QmpFailed."""
        await domain.qmp.reset()

    async def destroy(self, domain: Domain) -> None:
        """End the domU's QEMU, if it has not ended, and wait for its end. Raises QmpFailed."""
        if domain.ended.done():
            # What is sent to nobody would be the first thing that the next QEMU on these ports reads.
            await domain.release()
            return
        quit_ = asyncio.create_task(domain.qmp.execute("quit"))
        try:
            # One that ends by itself meanwhile answers no more.
            await asyncio.wait({quit_, domain.ended}, return_when=asyncio.FIRST_COMPLETED)
            await domain.ended
        finally:
            quit_.cancel()
            await asyncio.gather(quit_, return_exceptions=True)
        await domain.release()

    async def save(self, domain: Domain, path: str) -> int:
        """Stop a domU and write its state to a file in dom0."""
        size = await state.save(domain, path)
        await self.destroy(domain)
        return size

    async def restore(self, cell: Cell, config: DomainConfig, host: Host, path: str) -> Domain:
        """Start a QEMU, let it take the state in, and let it run. Raises StateRefused, and as `create`."""
        domain = await self.launch(cell, config, host, incoming=True)
        try:
            await state.load(domain, path)
        except TestbedError:
            await self.destroy(domain)
            raise
        await domain.qmp.execute("cont")
        return domain

    async def migrate(
        self, cell: Cell, domain: Domain, to: Host, accepts: DomainConfig | None = None
    ) -> tuple[Domain, Migrated]:
        """Migrate over TCP while the domU runs. Raises MigrationFailed when it stays where it is."""
        target = await self.launch(cell, accepts or domain.config, to, incoming=True)
        try:
            migrated = await state.move(domain, target, await self._address(domain.host, to))
        except TestbedError:
            await self.destroy(target)
            raise
        await self.destroy(domain)
        return target, migrated

    async def _address(self, source: Host, target: Host) -> str:
        if source is target:
            return "127.0.0.1"
        answer = await target.machine.command.run(f"ip -4 addr show {BRIDGE}")
        found = re.search(r"inet ([0-9.]+)/", answer.output)
        if found is None:
            raise StepFailed(f"{target.name} has no address to migrate to", hint="put a step `bridge` before this one")
        return found[1]

    async def set_memory(self, domain: Domain, target: int) -> int:
        """Set the balloon's target. Raises QmpFailed (kind DeviceNotActive when there is no balloon)."""
        return await devices.balloon(domain, target)

    async def memory(self, domain: Domain) -> int:
        """Ask the balloon. Raises QmpFailed (kind DeviceNotActive when there is no balloon)."""
        return await devices.balloon_size(domain)

    async def set_vcpus(self, domain: Domain, count: int) -> None:
        """Plug CPU cores in or out."""
        await devices.set_vcpus(domain, count)

    async def attach_memory(self, domain: Domain, size: int) -> None:
        """Plug a memory module in."""
        await devices.attach_memory(domain, size)

    async def detach_memory(self, domain: Domain) -> None:
        """Unplug the last memory module."""
        await devices.detach_memory(domain)

    async def pin(self, domain: Domain, cpu: int) -> None:
        """Bind the domU's vCPU threads to one CPU of dom0's. Raises StepFailed, QmpFailed."""
        await cpus.pin(domain, cpu)

    async def cpu_times(self, domain: Domain) -> Sequence[int]:
        """Read the times of its vCPU threads in dom0. Raises StepFailed, QmpFailed."""
        return await cpus.cpu_times(domain)

    async def ran_on(self, host: Host, domains: Sequence[Domain], seconds: int) -> dict[int, int]:
        """Read dom0's own counters of guests' time. Raises StepFailed, QmpFailed."""
        return await cpus.ran_on(host, domains, seconds)

    async def stopped(self, domain: Domain) -> Stop:
        """Wait for QEMU's word on why the domU has stopped, and what it says of its end. Raises QmpFailed."""
        event = await domain.qmp.event(("SHUTDOWN", "GUEST_PANICKED"))
        return "crash" if event["event"] == "GUEST_PANICKED" else STOPS[str(event["data"]["reason"])]

    async def sysrq(self, domain: Domain, key: str) -> None:
        """Type the key at the domU's console, after what that takes for a break."""
        domain.console.send(f"{SYSRQ_KEY}{key}")

    async def set_weight(self, domain: Domain, weight: int) -> None:
        """Set the nice value of the domU's vCPU threads in dom0's scheduler."""
        # Without -n: busybox's would add it to what there is.
        threads = " ".join(str(thread) for thread in await domain.vcpu_threads())
        answer = await domain.host.machine.command.run(f"renice {weight} -p {threads}")
        if answer.status != 0:
            raise StepFailed(f"{domain.name}: its weight cannot be set: {answer.output.strip()}")

    async def attach_disk(self, domain: Domain, disk: Disk) -> None:
        """Plug a disk in at the virtio-scsi controller."""
        await devices.attach_disk(domain, disk)

    async def detach_disk(self, domain: Domain, disk: Disk) -> None:
        """Unplug it."""
        await devices.detach_disk(domain, disk)

    async def attach_nic(self, domain: Domain, mac: str) -> None:
        """Plug in a virtio network card."""
        await devices.attach_nic(domain, mac)

    async def detach_nic(self, domain: Domain, mac: str) -> None:
        """Unplug it."""
        await devices.detach_nic(domain, mac)

    async def set_link(self, domain: Domain, *, up: bool) -> None:
        """Set the link of the first network card."""
        await domain.qmp.execute("set_link", name="nic0", up=up)

    async def dump_core(self, domain: Domain, path: str) -> None:
        """Write an ELF core of the guest's memory."""
        await domain.qmp.execute("dump-guest-memory", paging=False, protocol=f"file:{path}")

    async def find_in_core(self, domain: Domain, path: str, address: int, order: Order) -> int:
        """Look it up in the program headers of QEMU's dump. Raises StepFailed."""
        return core_offset(await read_dump(domain.host, path, 0, HEAD), address & PHYSICAL, order)

    async def log(self, host: Host, mark: str) -> HypervisorLog:
        """Read dom0's kernel log, after `mark` was written to it. Raises StepFailed."""
        answer = await host.machine.command.run(f"echo {mark} >/dev/kmsg; uname -r; dmesg")
        release, *lines = answer.output.splitlines()
        version = next((line for line in lines if f"Linux version {release} " in line), None)
        if version is None or mark not in lines[-1]:
            raise StepFailed(f"{host.name}'s log has no version {release}, or does not end with what was written to it")
        return HypervisorLog(tuple(lines), version, lines[-1])

    async def examine(self, domain: Domain) -> str:
        """Tell the state of its QEMU. Raises QmpFailed."""
        return str(await domain.qmp.execute("query-status"))

    async def open_debugger(self, domain: Domain) -> socket.socket:
        """Let the gdb stub of the domU's QEMU speak through a port of its own."""
        machine, port = domain.host.machine, domain.slot.port(DEBUGGER)
        machine.drain(port)
        await open_stub(domain.qmp, {"type": "pipe", "data": {"device": f"/dev/virtio-ports/{port}"}})
        return machine.port(port)

    async def close_debugger(self, domain: Domain) -> None:
        """Close the stub."""
        await close_stub(domain.qmp)
