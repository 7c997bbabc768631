"""Xen's own toolstack: `xl` in dom0, for every thing that it can do."""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.domain import Disk, Domain, DomainConfig, while_alive
from harness.host import BRIDGE, Host, Slot
from harness.toolstacks import (
    DomainRow,
    HypervisorInfo,
    HypervisorLog,
    KeepsNoDomains,
    MemoryRefused,
    Migrated,
    MigrationFailed,
    StateRefused,
    Stop,
)
from harness.toolstacks.ballooning import settle
from harness.toolstacks.cores import find_in_xen_core
from harness.toolstacks.xl_config import all_disks, configuration, nic_words, plugged
from harness.toolstacks.xl_domain import XlDomain, ask, must, own, said, xl
from harness.toolstacks.xl_tables import DOM0, Vcpu, domain_rows, hypervisor_info, vcpu_rows
from harness.verbs import StepFailed
from sim.console import Console
from sim.elf import Order
from sim.shell import Answer, Shell

if TYPE_CHECKING:
    from harness.cell import Cell

# The port of a slot on which dom0 says what becomes of a domU (images/guest/debian/xen-slot).
EVENTS = "qmp"
# Why a domain has stopped (xen/include/public/sched.h, SHUTDOWN_*).
REASONS: dict[int, Stop] = {0: "power-off", 1: "reset", 3: "crash"}
# Weights of the scheduler Credit2: the usual one, and by how much a step of `nice` changes it in Linux
# (kernel/sched/core.c, sched_prio_to_weight).
WEIGHT, STEP = 256, 1.25
# A key of Xen's that does no more than to print the list of them (xen/common/keyhandler.c).
KEY = "h"
# Where a domU waits for another's state, between machines.
FIRST_PORT = 49152


class XlToolstack(KeepsNoDomains):
    """Runs `xl` in dom0. A domU's consoles come out through virtio-serial ports, to which dom0 joins them.

    What uses `xl` raises HostStarved besides: libxl waits by the clock (xl_domain.ask).
    """

    async def ready(self, cell: Cell) -> str:
        """Let `xl` ask the hypervisor, and look for dom0 among its domains. Raises StepFailed."""
        host = cell.host("dom0")
        info = hypervisor_info(await must(host, "xl info"))
        if DOM0 not in await must(host, "xl list"):
            raise StepFailed("the hypervisor lists no dom0")
        return info.name

    async def create(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """Let `xl` create a domU. Raises StepFailed, DomainEnded when it ends at once.

        Its disks are attached before it first runs, not created with it, so that its command channel is an older
        device. Linux resumes devices in the order of their age, and a second console of Xen's (xencons_resume in
        drivers/tty/hvc/hvc_xen.c) then closes the event channel whose number it had: a disk's that was resumed before.
        """
        text = configuration(cell.hypervisor.domu, config, disks=False)
        attach = "".join(f" && xl block-attach {config.name} {disk}" for disk in all_disks(config))
        slot, answer = await _from_file(host, text, "create -p", attach)
        if answer.status != 0:
            raise StepFailed(f"{config.name} cannot be created: {said(answer)}")
        return await self._begin(cell, config, host, slot)

    async def _begin(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot, *, paused: bool = True) -> Domain:
        """Join a domU's consoles to its ports, and let it run. Raises StepFailed, DomainEnded."""
        domain = await self._open(cell, config, host, slot)
        try:
            ports = " ".join(slot.ports)
            join = f"xen-slot {config.name} {slot.name} {domain.number} </dev/null >/dev/null 2>&1 &"
            await must(host, f"virtio-ports {ports} && {{ {join} }}")
            await while_alive(domain, f"{config.name} ended at once", domain.told("joined"))
            if paused:
                await must(host, f"xl unpause {domain.number}")
        except BaseException:
            await domain.release()
            raise
        return domain

    async def adopt(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot) -> Domain:
        """Take up a domU that runs in a resumed dom0. Raises StepFailed."""
        return await self._open(cell, config, host, slot)

    async def _open(self, cell: Cell, config: DomainConfig, host: Host, slot: Slot) -> XlDomain:
        machine = host.machine
        number = int(await must(host, f"xl domid {config.name}"))
        title = cell.incarnation(config.name)

        async def console(use: str, *, log: bool = False) -> Console:
            name = title if log else f"{title}-{'events' if use == EVENTS else use}"
            return await machine.open_console(name, machine.port(slot.port(use)), log=log)

        return XlDomain(
            config=config,
            host=host,
            slot=slot,
            console=await console("console", log=True),
            command=Shell(await console("command")),
            fate=await console("fate"),
            number=number,
            events=await console(EVENTS),
            plugged={},
        )

    async def list(self, cell: Cell, host: Host) -> list[DomainRow]:
        """Read `xl list`. Raises StepFailed."""
        return domain_rows(await must(host, "xl list"))

    async def info(self, cell: Cell, host: Host) -> HypervisorInfo:
        """Read `xl info`. Raises StepFailed."""
        return hypervisor_info(await must(host, "xl info"))

    async def pause(self, domain: Domain) -> None:
        """Let `xl` pause it. Raises StepFailed."""
        await xl(domain, "pause")

    async def unpause(self, domain: Domain) -> None:
        """Let `xl` unpause it. Raises StepFailed."""
        await xl(domain, "unpause")

    async def shutdown(self, domain: Domain) -> None:
        """Let `xl` ask the domU to switch itself off, see that it does, and clear it away. Raises StepFailed."""
        await xl(domain, "shutdown")
        reason = REASONS.get(await own(domain).told("stopped"))
        if reason != "power-off":
            raise StepFailed(f"{domain.name} stopped by {reason}, not by switching itself off")
        await self.destroy(domain)

    async def reboot(self, domain: Domain) -> None:
        """Let `xl` ask the domU to boot again; it comes as another domain of its name. Raises StepFailed."""
        await xl(domain, "reboot")
        own(domain).number = await own(domain).told("joined")

    async def destroy(self, domain: Domain) -> None:
        """Let `xl` destroy the domU, if it has not ended, and wait for its end. Raises StepFailed."""
        if not domain.ended.done():
            await xl(domain, "destroy")
            await domain.ended
        await domain.release()

    async def save(self, domain: Domain, path: str) -> int:
        """Let `xl` save the domU, which ends with it. Raises StepFailed."""
        await xl(domain, "save", path)
        await domain.ended
        size = int(await must(domain.host, f"stat -c %s {path}"))
        await domain.release()
        return size

    async def restore(self, cell: Cell, config: DomainConfig, host: Host, path: str) -> Domain:
        """Let `xl` restore a domU. Raises StateRefused, and as `create`."""
        text = configuration(cell.hypervisor.domu, config, disks=True)
        slot, answer = await _from_file(host, text, "restore -p", f" {path}")
        if answer.status != 0:
            raise StateRefused(f"{config.name} was not restored: {said(answer)}")
        return await self._begin(cell, config, host, slot)

    async def migrate(
        self, cell: Cell, domain: Domain, to: Host, accepts: DomainConfig | None = None
    ) -> tuple[Domain, Migrated]:
        """Let `xl` migrate the domU while it runs. Raises MigrationFailed when it stays where it is."""
        if accepts is not None:
            raise StepFailed("xl has no word for what another side is told to expect", hint="a `needs:` is missing")
        slot = to.take()
        receive = "xl migrate-receive"
        if to is not domain.host:
            port = FIRST_PORT + int(slot.name.removeprefix("slot"))
            await must(to, f"nc -l -p {port} -e {receive} </dev/null >/dev/null 2>&1 &")
            receive = f"nc {await _address(to)} {port}"
        began = time.monotonic()
        answer = await _fill(slot, to, domain.host, f"xl migrate -s '' {own(domain).number} '{receive}'")
        took = round((time.monotonic() - began) * 1000)
        if answer.status != 0:
            raise MigrationFailed(f"{domain.name} did not migrate: {said(answer)}")
        await domain.ended
        await domain.release()
        moved = await self._begin(cell, domain.config, to, slot, paused=False)
        return moved, Migrated(total=took, downtime=None, sent=None)

    async def set_memory(self, domain: Domain, target: int) -> int:
        """Let `xl` set the balloon's target. Raises StepFailed, and MemoryRefused beyond the domU's maximum."""
        answer = await ask(domain.host, f"xl mem-set {own(domain).number} {target}m")
        if answer.status != 0:
            refused = f"{domain.name}: `xl mem-set` refused: {said(answer)}"
            raise MemoryRefused(refused) if target > domain.config.memory else StepFailed(refused)
        return await settle(domain, target, lambda: self.memory(domain))

    async def memory(self, domain: Domain) -> int:
        """Read what `xl list` says of it. Raises StepFailed."""
        rows = domain_rows(await must(domain.host, f"xl list {own(domain).number}"))
        return rows[0].memory

    async def attach_memory(self, domain: Domain, size: int) -> None:
        """Refuse: `xl` has no command for it (`mem-set` moves the balloon). Raises StepFailed."""
        raise StepFailed(f"xl cannot plug {size} MiB into {domain.name}: it has no command for that")

    async def detach_memory(self, domain: Domain) -> None:
        """Refuse, likewise. Raises StepFailed."""
        raise StepFailed(f"xl cannot take memory out of {domain.name}: it has no command for that")

    async def set_vcpus(self, domain: Domain, count: int) -> None:
        """Let `xl` plug vCPUs in or out, and the domU take them into use. Raises StepFailed."""
        await xl(domain, "vcpu-set", str(count))
        # What udev does in a whole system: the kernel only says that a CPU has come.
        script = f"""
            for number in $(seq 1 {count - 1}); do
                cpu=/sys/devices/system/cpu/cpu$number
                until [ -e $cpu/online ]; do usleep 20000; done
                [ $(cat $cpu/online) = 1 ] || echo 1 >$cpu/online
            done
        """
        answer = await domain.command.run(script)
        if answer.status != 0:
            raise StepFailed(f"{domain.name} does not take its CPUs into use: {said(answer)}")

    async def pin(self, domain: Domain, cpu: int) -> None:
        """Let `xl` bind all vCPUs of a domU to a CPU. Raises StepFailed."""
        await xl(domain, "vcpu-pin", "all", str(cpu))

    async def cpu_times(self, domain: Domain) -> Sequence[int]:
        """Read `xl vcpu-list`. Raises StepFailed."""
        return [vcpu.time for vcpu in await self._vcpus(domain)]

    async def _vcpus(self, domain: Domain) -> Sequence[Vcpu]:
        return vcpu_rows(await must(domain.host, f"xl vcpu-list {own(domain).number}"))

    async def ran_on(self, host: Host, domains: Sequence[Domain], seconds: int) -> dict[int, int]:
        """Read in `xl vcpu-list` where vCPUs run, and how far their times come meanwhile. Raises StepFailed."""
        ran = dict.fromkeys(range(hypervisor_info(await must(host, "xl info")).cpus), 0)
        before = [await self._vcpus(domain) for domain in domains]
        await must(host, f"sleep {seconds}")
        for domain, then in zip(domains, before, strict=True):
            for old, new in zip(then, await self._vcpus(domain), strict=True):
                for cpu in {old.cpu, new.cpu}:
                    if cpu is not None:
                        ran[cpu] += new.time - old.time
        return ran

    async def stopped(self, domain: Domain) -> Stop:
        """Wait for dom0's news that the hypervisor has the domU as stopped, and why. Raises StepFailed."""
        number = await own(domain).told("stopped")
        if number not in REASONS:
            raise StepFailed(f"{domain.name} stopped for the reason {number}")
        return REASONS[number]

    async def sysrq(self, domain: Domain, key: str) -> None:
        """Let `xl` send the key. Raises StepFailed."""
        await xl(domain, "sysrq", key)

    async def set_weight(self, domain: Domain, weight: int) -> None:
        """Set the domU's weight in the scheduler Credit2, as much less as that much `nice` is in Linux."""
        value = max(1, round(WEIGHT / STEP**weight))
        await must(domain.host, f"xl sched-credit2 -d {own(domain).number} -w {value}")

    async def attach_disk(self, domain: Domain, disk: Disk) -> None:
        """Let `xl` plug a disk in. Raises StepFailed."""
        ours = own(domain)
        assert ours.plugged is not None
        words, name = plugged(disk, len(ours.plugged))
        await xl(domain, "block-attach", words)
        ours.plugged[disk.name] = name

    async def detach_disk(self, domain: Domain, disk: Disk) -> None:
        """Let `xl` take it out. Raises StepFailed."""
        ours = own(domain)
        if not ours.plugged or disk.name not in ours.plugged:
            raise StepFailed(f"{domain.name} has no disk {disk.name} that was plugged in")
        await xl(domain, "block-detach", ours.plugged.pop(disk.name))

    async def attach_nic(self, domain: Domain, mac: str) -> None:
        """Let `xl` plug a card in. Raises StepFailed."""
        await xl(domain, "network-attach", *nic_words(mac).split(","))

    async def detach_nic(self, domain: Domain, mac: str) -> None:
        """Let `xl` take it out. Raises StepFailed."""
        await xl(domain, "network-detach", mac)

    async def set_link(self, domain: Domain, *, up: bool) -> None:
        """Take the backend of the first card down, or up: `xl` has no cable to pull. Raises StepFailed."""
        await must(domain.host, f"ip link set vif{own(domain).number}.0 {'up' if up else 'down'}")

    async def dump_core(self, domain: Domain, path: str) -> None:
        """Let `xl` dump the domU's memory. Raises StepFailed."""
        await xl(domain, "dump-core", path)

    async def find_in_core(self, domain: Domain, path: str, address: int, order: Order) -> int:
        """Look it up in the list of frames of Xen's dump. Raises StepFailed."""
        assert order == "little"
        return await find_in_xen_core(domain.host, path, address)

    async def log(self, host: Host, mark: str) -> HypervisorLog:
        """Let `xl` press a key of Xen's, whose answer goes to the log, and read that. Raises StepFailed."""
        before = (await must(host, "xl dmesg")).splitlines()
        after = (await must(host, f"xl debug-keys {KEY}; xl dmesg")).splitlines()
        version = next((line for line in after if "Xen version" in line), None)
        pressed = [line for line in after if f"'{KEY}' pressed" in line]
        if version is None or len(pressed) != 1 + sum(f"'{KEY}' pressed" in line for line in before):
            raise StepFailed(f"{host.name}'s `xl dmesg` has no version of Xen, or does not tell of the key {KEY}")
        return HypervisorLog(tuple(after), version, pressed[-1])

    async def examine(self, domain: Domain) -> str:
        """Let `xl` tell its state, and `xenctx` the registers and stack of each of its vCPUs."""
        number = own(domain).number
        script = f"xl list -v; xl vcpu-list; /usr/lib/xen-*/bin/xenctx -a -C {number}; xl dmesg | tail -n 20"
        return (await domain.host.machine.command.run(script)).output.strip()

    async def open_debugger(self, domain: Domain) -> socket.socket:
        """Raise StepFailed: nothing here lets a gdb in."""
        raise StepFailed(f"{domain.name} has no stub for a debugger", hint="give the scenario a `needs:`")

    async def close_debugger(self, domain: Domain) -> None:
        """Do nothing: there is none."""


async def _from_file(host: Host, text: str, command: str, rest: str) -> tuple[Slot, Answer]:
    """Let `xl` make a domU of a configuration, behind whose file stands `rest`. If not, its slot is free again."""
    slot = host.take()
    file = f"/run/{slot.name}.cfg"
    return slot, await _fill(slot, host, host, f"printf %s {shlex.quote(text)} >{file} && xl {command} {file}{rest}")


async def _fill(slot: Slot, owner: Host, host: Host, script: str) -> Answer:
    """Run a script in dom0 that puts a domU into a slot of its owner's, to which the slot goes back if it does not."""
    filled = False
    try:
        answer = await ask(host, script)
        filled = answer.status == 0
    finally:
        if not filled:
            owner.give_back(slot)
    return answer


async def _address(host: Host) -> str:
    found = re.search(r"inet ([0-9.]+)/", await must(host, f"ip -4 addr show {BRIDGE}"))
    if found is None:
        raise StepFailed(f"{host.name} has no address to migrate to", hint="put a step `bridge` before this one")
    return found[1]
