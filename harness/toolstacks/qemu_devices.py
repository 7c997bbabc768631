"""Devices of a running domU: its balloon, and CPUs, disks and network cards that come and go."""

from __future__ import annotations

from harness.domain import Disk, Domain
from harness.toolstacks.ballooning import settle
from harness.toolstacks.qemu_args import PLUG, image_nodes, make_tap
from harness.verbs import StepFailed
from sim.errors import QmpFailed

# The index of a CPU's dynamic reconfiguration connector begins so (QEMU, include/hw/ppc/spapr_drc.h).
CPU_CONNECTOR = 0x10000000
MODULE = "dimm"
# The option vector 5 that was agreed upon, and its bit for events of plugging: byte 6, bit 5 from the left (QEMU,
# include/hw/ppc/spapr_ovec.h, OV5_HP_EVT).
AGREED = "/proc/device-tree/chosen/ibm,architecture-vec-5"
EVENTS_BYTE, EVENTS_BIT = 6, 0x04


async def balloon(domain: Domain, target: int) -> int:
    """Ask for `target` MiB and return the size in MiB once it is reached, or comes no nearer. Raises QmpFailed."""
    await domain.qmp.execute("balloon", value=target << 20)
    return await settle(domain, min(target, domain.config.memory), lambda: balloon_size(domain))


async def balloon_size(domain: Domain) -> int:
    """Return what the balloon leaves to the domU at this moment, in MiB. Raises QmpFailed."""
    answer = await domain.qmp.execute("query-balloon")
    return int(answer["actual"]) >> 20


async def set_vcpus(domain: Domain, count: int) -> None:
    """Plug CPU cores in or out until there are `count`. Raises StepFailed, QmpFailed.

    A guest that has not asked for the events of plugging is told of it by an RTAS event that its kernel leaves to a
    program (`drmgr` of powerpc-utils). What that does in the guest, writing to /sys/kernel/dlpar, is done here.
    """
    by_itself = await _takes_events(domain)
    listed = await domain.qmp.execute("query-hotpluggable-cpus")
    cores = sorted(listed, key=lambda core: int(core["props"]["core-id"]))
    if count > len(cores):
        raise StepFailed(f"{domain.name} has room for {len(cores)} CPUs, not for {count}")
    for number, core in enumerate(cores):
        there, core_id = "qom-path" in core, int(core["props"]["core-id"])
        if number < count and not there:
            await domain.qmp.execute("device_add", driver=core["type"], id=f"core{core_id}", core_id=core_id)
            if not by_itself:
                await _reconfigure(domain, f"cpu add index {CPU_CONNECTOR | core_id:#x}")
        elif number >= count and there:
            seen = len(domain.qmp.events)
            await domain.qmp.execute("device_del", id=core["qom-path"])
            if not by_itself:
                await _reconfigure(domain, f"cpu remove index {CPU_CONNECTOR | core_id:#x}")
            await _gone(domain, seen, path=core["qom-path"])


async def attach_memory(domain: Domain, size: int) -> None:
    """Plug in a memory module of `size` MiB. Raises QmpFailed.

    The guest is told by an event that its kernel answers itself, if it takes such events; one on a 970 does not.
    """
    name = f"{MODULE}{len(await _modules(domain))}"
    await domain.qmp.execute("object-add", qom_type="memory-backend-ram", id=f"ram-{name}", size=size << 20)
    try:
        await domain.qmp.execute("device_add", driver="pc-dimm", id=name, memdev=f"ram-{name}")
    except QmpFailed:
        await domain.qmp.execute("object-del", id=f"ram-{name}")
        raise


async def detach_memory(domain: Domain) -> None:
    """Unplug the memory module that was plugged in last. Raises QmpFailed, StepFailed."""
    modules = await _modules(domain)
    if not modules:
        raise StepFailed(f"{domain.name} has no memory that was plugged in")
    seen = len(domain.qmp.events)
    await domain.qmp.execute("device_del", id=modules[-1])
    await _gone(domain, seen, name=modules[-1])
    await domain.qmp.execute("object-del", id=f"ram-{modules[-1]}")


async def _modules(domain: Domain) -> list[str]:
    """Return the names of the memory modules that were plugged in, in the order in which they were."""
    listed = await domain.qmp.execute("query-memory-devices")
    return sorted(name for module in listed if (name := module["data"].get("id", "")).startswith(MODULE))


async def _takes_events(domain: Domain) -> bool:
    """Whether the guest and its firmware agreed that its kernel itself answers when something is plugged."""
    answer = await domain.command.run(f"hexdump -v -e '1/1 \"%02x\"' {AGREED}")
    vector = bytes.fromhex(answer.output.strip()) if answer.status == 0 else b""
    return len(vector) > EVENTS_BYTE and bool(vector[EVENTS_BYTE] & EVENTS_BIT)


async def _reconfigure(domain: Domain, request: str) -> None:
    answer = await domain.command.run(f"echo {request} >/sys/kernel/dlpar || dmesg | tail -n 2")
    if answer.output.strip():
        raise StepFailed(f"{domain.name} cannot '{request}': {answer.output.strip()}")


async def _gone(domain: Domain, since: int, *, path: str = "", name: str = "") -> None:
    """Wait until the guest has let go of a device. Raises StepFailed when it will not."""

    def ours(data: dict[str, str]) -> bool:
        return data.get("path") == path if path else data.get("device") == name

    event = await domain.qmp.event(
        ("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"), since=since, where=lambda event: ours(event["data"])
    )
    if event["event"] != "DEVICE_DELETED":
        raise StepFailed(f"{domain.name} does not let go of {path or name}")


async def attach_disk(domain: Domain, disk: Disk) -> None:
    """Plug a disk in at the virtio-scsi controller. Raises QmpFailed."""
    node = image_nodes(disk, read_only=False)
    await domain.qmp.execute("blockdev-add", **node)
    await domain.qmp.execute(
        "device_add", driver="scsi-hd", id=disk.name, drive=str(node["node-name"]), bus=f"{PLUG}.0"
    )


async def detach_disk(domain: Domain, disk: Disk) -> None:
    """Unplug a disk and close its image. Raises QmpFailed, StepFailed."""
    seen = len(domain.qmp.events)
    await domain.qmp.execute("device_del", id=disk.name)
    await _gone(domain, seen, name=disk.name)
    await domain.qmp.execute("blockdev-del", node_name=f"node-{disk.name}")


async def attach_nic(domain: Domain, mac: str) -> None:
    """Plug in a virtio network card, its other end on dom0's bridge. Raises StepFailed, QmpFailed."""
    name = nic_name(mac)
    tap = f"{domain.slot.name}-{name[-2:]}"
    answer = await domain.host.machine.command.run(f"set -e\n{make_tap(tap)}")
    if answer.status != 0:
        raise StepFailed(f"dom0 has no interface {tap}: {answer.output.strip()}")
    await domain.qmp.execute("netdev_add", type="tap", id=f"net-{name}", ifname=tap, script="no", downscript="no")
    await domain.qmp.execute("device_add", driver="virtio-net-pci", id=name, netdev=f"net-{name}", mac=mac, romfile="")


async def detach_nic(domain: Domain, mac: str) -> None:
    """Unplug a network card. Raises QmpFailed, StepFailed."""
    name, seen = nic_name(mac), len(domain.qmp.events)
    await domain.qmp.execute("device_del", id=name)
    await _gone(domain, seen, name=name)
    await domain.qmp.execute("netdev_del", id=f"net-{name}")


def nic_name(mac: str) -> str:
    """Return the device name of a network card that was plugged in."""
    return f"nic-{mac.replace(':', '')}"
