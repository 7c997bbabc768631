"""libvirt's toolstack: `virsh` in dom0 for every thing that it can do, and QEMU's for the few that it cannot."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.domain import Disk, Domain, DomainConfig, while_alive
from harness.host import Host, Slot
from harness.toolstacks import (
    STOPS,
    DomainRow,
    HypervisorInfo,
    MemoryRefused,
    Migrated,
    MigrationFailed,
    StateRefused,
    Stop,
    virsh,
)
from harness.toolstacks.ballooning import settle
from harness.toolstacks.libvirt_xml import domain_xml, plugged_disk, plugged_nic
from harness.toolstacks.qemu import QemuToolstack
from harness.toolstacks.virt_install import install_arguments
from harness.verbs import StepFailed
from sim.shell import Answer

if TYPE_CHECKING:
    from harness.cell import Cell


class LibvirtToolstack(QemuToolstack):
    """Runs `virsh` in dom0. A second monitor of the domU's QEMU looks on: it tells why and when something stopped.

    CPU times are read from dom0's kernel as without libvirt: `virsh domstats` asks a busy domU's QEMU, which may take
    it half a minute on the one CPU that both share, and then says what was true at some moment of it.
    Weights are set where Linux has them for sessions (autogroup): `virsh schedinfo` wants cgroups.
    """

    def __init__(self) -> None:
        # Of each domU the disks that were plugged in, by their names here and there.
        self._plugged: dict[str, dict[str, str]] = {}
        # Of each domU how many events had come when one of them last told how it stopped: a reset one goes on.
        self._told: dict[str, int] = {}

    async def ready(self, cell: Cell) -> str:
        """Let libvirt ask QEMU whether it makes domUs of the hypervisor's. Raises StepFailed."""
        host = cell.host("dom0")
        told = await virsh.must(host, "domcapabilities", "--virttype", "kvm")
        if "<domain>kvm</domain>" not in told:
            raise StepFailed("libvirt makes no domUs of KVM's")
        return (await self.info(cell, host)).name

    async def launch(self, cell: Cell, config: DomainConfig, host: Host, *, incoming: bool = False) -> Domain:
        """Define a domU, and start it. Raises StepFailed."""
        assert not incoming, "libvirt makes itself what waits for a state"

        def start(slot: Slot) -> str:
            return _described(cell, config, slot, f"{_define(slot)} && virsh --quiet start {config.name}")

        return await self._make(cell, config, host, start)

    async def install(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """`virt-install`, from a kernel and an initrd. Raises StepFailed."""

        def start(slot: Slot) -> str:
            return f"{shlex.join(install_arguments(cell.hypervisor.domu, config, slot))} >&2"

        return await self._make(cell, config, host, start)

    async def _make(self, cell: Cell, config: DomainConfig, host: Host, start: Callable[[Slot], str]) -> Domain:
        """Run the script that makes a domU of a slot's and starts it; a slot of no use is given back.

        Raises what `start` raises, StepFailed, _Refused.
        """
        slot = host.take()
        try:
            script = start(slot)
        except BaseException:
            host.give_back(slot)
            raise
        domain = await self._open(cell, config, host, slot)
        try:
            await self._script(
                host,
                f"virtio-ports {' '.join(slot.ports)} && {script} && "
                f"{{ libvirt-slot {config.name} {slot.name} </dev/null >/dev/null 2>&1 & }}",
            )
            greeting = domain.qmp.connect(host.machine.port(slot.port("qmp")))
            await while_alive(domain, f"{config.name}: its QEMU ended at once", greeting)
        except BaseException:
            await domain.release()
            raise
        self._plugged[config.name], self._told[config.name] = {}, 0
        return domain

    async def _script(self, host: Host, script: str) -> None:
        answer = await host.machine.command.run(script)
        if answer.status != 0:
            raise _Refused(answer)

    async def list(self, cell: Cell, host: Host) -> list[DomainRow]:
        """Read `virsh domstats` of the domains that run. Raises StepFailed."""
        return virsh.rows(await virsh.must(host, "domstats", "--list-active", "--state", "--balloon", "--vcpu"))

    async def info(self, cell: Cell, host: Host) -> HypervisorInfo:
        """Read what `virsh` says of the node. Raises StepFailed."""
        version, node = await virsh.must(host, "version"), await virsh.must(host, "nodeinfo")
        return virsh.info(version, node, await virsh.must(host, "nodememstats"))

    async def pause(self, domain: Domain) -> None:
        """`virsh suspend`. Raises StepFailed."""
        await virsh.must(domain.host, "suspend", domain.name)

    async def unpause(self, domain: Domain) -> None:
        """`virsh resume`. Raises StepFailed."""
        await virsh.must(domain.host, "resume", domain.name)

    async def shutdown(self, domain: Domain) -> None:
        """`virsh shutdown`; the domU must comply, and libvirt clear it away. Raises StepFailed."""
        seen = len(domain.qmp.events)
        await virsh.must(domain.host, "shutdown", domain.name)
        event = await domain.qmp.event("SHUTDOWN", since=seen)
        if event["data"]["reason"] != "guest-shutdown":
            raise StepFailed(f"{domain.name} ended with {event['data']['reason']}, not by switching itself off")
        await domain.ended
        await self.destroy(domain)

    async def reboot(self, domain: Domain) -> None:
        """`virsh reset`. Raises StepFailed."""
        seen = len(domain.qmp.events)
        await virsh.must(domain.host, "reset", domain.name)
        await domain.qmp.event("RESET", since=seen)

    async def destroy(self, domain: Domain) -> None:
        """`virsh destroy`, if it has not ended, and `undefine`. Raises StepFailed."""
        if not domain.ended.done():
            await virsh.must(domain.host, "destroy", domain.name)
            await domain.ended
        await virsh.must(domain.host, "undefine", domain.name)
        await domain.release()

    async def save(self, domain: Domain, path: str) -> int:
        """`virsh save`, with which the domU ends. Raises StepFailed."""
        await virsh.must(domain.host, "save", domain.name, path)
        await domain.ended
        size = int((await domain.host.machine.command.run(f"stat -c %s {path}")).output)
        await self.destroy(domain)
        return size

    async def restore(self, cell: Cell, config: DomainConfig, host: Host, path: str) -> Domain:
        """`virsh restore`, to the ports of another slot. Raises StateRefused."""

        def start(slot: Slot) -> str:
            file = _file(slot)
            taken = f"{{ {_moved(f'save-image-dumpxml {path}', slot)}; }} >{file}"
            restore = f"virsh --quiet restore {path} --xml {file} --running"
            return _described(cell, config, slot, f"{_define(slot)} && {taken} && {restore}")

        try:
            return await self._make(cell, config, host, start)
        except _Refused as refused:
            await virsh.run(host, "undefine", config.name)
            raise StateRefused(f"{config.name} was not restored: {virsh.said(refused.answer)}") from refused

    async def managed_save(self, domain: Domain) -> None:
        """`virsh managedsave`, with which the domU ends and stays defined. Raises StepFailed."""
        await virsh.must(domain.host, "managedsave", domain.name)
        await domain.ended
        await domain.release()

    async def start_saved(self, cell: Cell, config: DomainConfig, host: Host) -> Domain:
        """`virsh start`, which takes up the state, with the ports of another slot. Raises StateRefused."""
        name = config.name

        def start(slot: Slot) -> str:
            file = _file(slot)
            # In the state and in what stays behind it, for the next start.
            moves = [
                f"{{ {_moved(f'{dump} {name}', slot)}; }} >{file} && virsh --quiet {take}"
                for dump, take in (
                    ("managedsave-dumpxml", f"managedsave-define {name} {file}"),
                    ("dumpxml --inactive", f"define {file}"),
                )
            ]
            return _described(cell, config, slot, " && ".join([*moves, f"virsh --quiet start {name}"]))

        try:
            return await self._make(cell, config, host, start)
        except _Refused as refused:
            raise StateRefused(f"{name} was not started again: {virsh.said(refused.answer)}") from refused

    async def migrate(
        self, cell: Cell, domain: Domain, to: Host, accepts: DomainConfig | None = None
    ) -> tuple[Domain, Migrated]:
        """`virsh migrate` while it runs. Raises MigrationFailed when it stays where it is."""
        if accepts is not None:
            raise StepFailed("virsh has no word for what another side expects", hint="a `needs:` is missing")
        here = to is domain.host
        slot, address = to.take(), "127.0.0.1" if here else await self._address(domain.host, to)
        file, ports = _file(slot), f"virtio-ports {' '.join(slot.ports)}"
        began = time.monotonic()
        try:
            await self._script(to, ports)
            await self._script(
                domain.host,
                # "Unsafe", because libvirt cannot tell that a disk's image is the same in both places.
                f"{{ {_moved(f'dumpxml {domain.name} --migratable', slot)}; }} >{file} && "
                "virsh --quiet migrate --live --unsafe --persistent --undefinesource "
                f"--xml {file} --persistent-xml {file} {domain.name} qemu+tcp://{address}/system tcp://{address}",
            )
        except _Refused as refused:
            to.give_back(slot)
            raise MigrationFailed(f"{domain.name} did not migrate: {virsh.said(refused.answer)}") from refused
        took = round((time.monotonic() - began) * 1000)
        await domain.ended
        await domain.release()
        moved = await self._open(cell, domain.config, to, slot)
        await self._script(to, f"libvirt-slot {domain.name} {slot.name} </dev/null >/dev/null 2>&1 &")
        await while_alive(moved, f"{domain.name} ended at once", moved.qmp.connect(to.machine.port(slot.port("qmp"))))
        self._told[domain.name] = 0
        return moved, Migrated(total=took, downtime=None, sent=None)

    async def set_memory(self, domain: Domain, target: int) -> int:
        """`virsh setmem`. Raises StepFailed, and MemoryRefused beyond the domU's maximum."""
        answer = await virsh.run(domain.host, "setmem", domain.name, f"{target}MiB", "--live")
        if answer.status != 0:
            refused = f"{domain.name}: `virsh setmem` refused: {virsh.said(answer)}"
            raise MemoryRefused(refused) if target > domain.config.memory else StepFailed(refused)
        return await settle(domain, target, lambda: self.memory(domain))

    async def memory(self, domain: Domain) -> int:
        """Read `virsh dommemstat`. Raises StepFailed."""
        found = re.search(r"^actual (\d+)", await virsh.must(domain.host, "dommemstat", domain.name), re.MULTILINE)
        if found is None:
            raise StepFailed(f"`virsh dommemstat` does not tell what {domain.name} has")
        return int(found[1]) >> 10

    async def set_vcpus(self, domain: Domain, count: int) -> None:
        """`virsh setvcpus`. Raises StepFailed."""
        await virsh.must(domain.host, "setvcpus", domain.name, str(count), "--live")

    async def attach_memory(self, domain: Domain, size: int) -> None:
        """Refuse: its description gives no domU room for modules. Raises StepFailed."""
        raise StepFailed(f"{domain.name} has no room for {size} MiB more", hint="give the scenario a `needs:`")

    async def detach_memory(self, domain: Domain) -> None:
        """Refuse, likewise. Raises StepFailed."""
        raise StepFailed(f"{domain.name} has no memory that was plugged in")

    async def pin(self, domain: Domain, cpu: int) -> None:
        """`virsh vcpupin` for each vCPU. Raises StepFailed."""
        for number in range(domain.config.vcpus):
            await virsh.must(domain.host, "vcpupin", domain.name, str(number), str(cpu), "--live")

    async def set_weight(self, domain: Domain, weight: int) -> None:
        """Set the nice value of the domU's session: libvirt starts each QEMU in one of its own. Raises StepFailed."""
        script = f"echo {weight} >/proc/$(cat /run/libvirt/qemu/{domain.name}.pid)/autogroup"
        answer = await domain.host.machine.command.run(script)
        if answer.status != 0:
            raise StepFailed(f"{domain.name}: its weight cannot be set: {answer.output.strip()}")

    async def stopped(self, domain: Domain) -> Stop:
        """Wait for QEMU's word on why the domU has stopped, or begins anew. Raises QmpFailed."""
        event = await domain.qmp.event(
            ("SHUTDOWN", "GUEST_PANICKED", "RESET"),
            since=self._told.get(domain.name, 0),
            # Resets of ours say that they are none of the guest's.
            where=lambda event: bool(event["data"].get("guest", True)),
        )
        self._told[domain.name] = domain.qmp.events.index(event) + 1
        return "crash" if event["event"] == "GUEST_PANICKED" else STOPS[str(event["data"]["reason"])]

    async def attach_disk(self, domain: Domain, disk: Disk) -> None:
        """`virsh attach-device`. Raises StepFailed."""
        ours = self._plugged.setdefault(domain.name, {})
        text, name = plugged_disk(disk, len(ours))
        await self._device(domain, "attach-device", text)
        ours[disk.name] = name

    async def detach_disk(self, domain: Domain, disk: Disk) -> None:
        """`virsh detach-disk`; returns when the domU has let go of it. Raises StepFailed."""
        ours, seen = self._plugged.get(domain.name, {}), len(domain.qmp.events)
        if disk.name not in ours:
            raise StepFailed(f"{domain.name} has no disk {disk.name} that was plugged in")
        await virsh.must(domain.host, "detach-disk", domain.name, ours.pop(disk.name), "--live")
        await domain.qmp.event("DEVICE_DELETED", since=seen)

    async def attach_nic(self, domain: Domain, mac: str) -> None:
        """`virsh attach-device`: `attach-interface` wants a boot ROM, which is not there. Raises StepFailed."""
        await self._device(domain, "attach-device", plugged_nic(mac))

    async def detach_nic(self, domain: Domain, mac: str) -> None:
        """`virsh detach-interface`; returns when the domU has let go of it. Raises StepFailed."""
        seen = len(domain.qmp.events)
        await virsh.must(domain.host, "detach-interface", domain.name, "bridge", "--mac", mac, "--live")
        await domain.qmp.event("DEVICE_DELETED", since=seen)

    async def set_link(self, domain: Domain, *, up: bool) -> None:
        """`virsh domif-setlink` for the first card. Raises StepFailed."""
        state = "up" if up else "down"
        await virsh.must(domain.host, "domif-setlink", domain.name, domain.config.nics[0].mac, state)

    async def dump_core(self, domain: Domain, path: str) -> None:
        """`virsh dump --memory-only`. Raises StepFailed."""
        await virsh.must(domain.host, "dump", domain.name, path, "--memory-only", "--live")

    async def examine(self, domain: Domain) -> str:
        """Tell what libvirt knows of it. Raises StepFailed."""
        return await virsh.must(domain.host, "domstate", domain.name, "--reason")

    async def _device(self, domain: Domain, command: str, text: str) -> None:
        file = f"/run/{domain.slot.name}.device.xml"
        written = await domain.host.machine.command.run(f"printf %s {shlex.quote(text)} >{file}")
        if written.status != 0:
            raise StepFailed(f"dom0 cannot write {file}: {written.output.strip()}")
        await virsh.must(domain.host, command, domain.name, file, "--live")


def _file(slot: Slot) -> str:
    return f"/run/{slot.name}.xml"


def _described(cell: Cell, config: DomainConfig, slot: Slot, start: str) -> str:
    """Return a script that writes a domU's description, and goes on with `start`. Raises StepFailed."""
    return f"printf %s {shlex.quote(domain_xml(cell.hypervisor.domu, config, slot))} >{_file(slot)} && {start}"


def _define(slot: Slot) -> str:
    return f"virsh --quiet define {_file(slot)}"


def _moved(command: str, slot: Slot) -> str:
    """Return a script that prints the description of a domU that is there, with the ports of another slot."""
    ports = f"s|/dev/virtio-ports/[^.]*[.]|/dev/virtio-ports/{slot.name}.|g"
    return f"set -o pipefail; virsh --quiet {command} | sed '{ports}'"


class _Refused(StepFailed):
    """A script of `virsh` commands failed, with what it `answer`ed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(virsh.said(answer))
        self.answer = answer
