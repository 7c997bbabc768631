"""A domU as libvirt is told of it (https://libvirt.org/formatdomain.html)."""

from __future__ import annotations

from uuid import NAMESPACE_DNS, uuid5
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.domain import Disk, DomainConfig
from harness.host import BRIDGE, Slot
from harness.hypervisor import DomuMachine
from harness.toolstacks.qemu_args import kernel_arguments
from harness.verbs import StepFailed

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
# Controllers of disks: of those that a domU has from its start, and of those that are plugged in.
VSCSI, PLUG = 0, 1
# libvirt counts seven disks at a controller, and finds a disk's by its name: these are the second's.
FIRST_PLUGGED = 7
LETTERS = "abcdefghijklmn"


def domain_xml(domu: DomuMachine, config: DomainConfig, slot: Slot) -> str:
    """Return the description of a domU whose ports are a slot's. Raises StepFailed for what it cannot be asked for."""
    if refused := beyond_libvirt(config):
        raise StepFailed(f"{config.name}: libvirt gives no domU a {refused[0]}", hint="give the scenario a `needs:`")
    top = Element("domain", {"type": "kvm", "xmlns:qemu": QEMU})
    _text(top, "name", config.name)
    _text(top, "uuid", uuid_of(config.name))
    _text(top, "memory", str(config.memory), unit="MiB")
    most = max(config.vcpus, config.max_vcpus)
    _text(top, "vcpu", str(most), placement="static", current=str(config.vcpus))
    system = SubElement(top, "os")
    _text(system, "type", "hvm", arch="ppc64le", machine=domu.machine.partition(",")[0])
    _text(system, "kernel", domu.kernel)
    _text(system, "initrd", domu.initrd)
    _text(system, "cmdline", kernel_arguments(domu, config))
    cpu = SubElement(top, "cpu", mode="host-passthrough")
    if config.topology is not None:
        sockets, cores = config.topology
        SubElement(cpu, "topology", sockets=str(sockets), dies="1", cores=str(cores), threads="1")
    # One that has crashed is there until the harness has seen why.
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "preserve")):
        _text(top, f"on_{event}", action)
    _devices(SubElement(top, "devices"), domu, config, slot)
    command = SubElement(top, "qemu:commandline")
    for word in passthrough(domu, slot):
        SubElement(command, "qemu:arg", value=word)
    return tostring(top, encoding="unicode")


def beyond_libvirt(config: DomainConfig) -> list[str]:
    """Return which of the things that are asked for libvirt has no word for, in the words of `create`."""
    asked = {
        "real-mode-area": config.real_mode_area > 0,
        "hole": config.hole is not None,
        "keeps-nvram": config.keeps_nvram,
    }
    return [name for name, wanted in asked.items() if wanted]


def uuid_of(name: str) -> str:
    """Return the UUID of a domU of this name: a saved state is taken in by none but the same domain."""
    return str(uuid5(NAMESPACE_DNS, name))


def passthrough(domu: DomuMachine, slot: Slot) -> list[str]:
    """Return what QEMU is given as it is: what libvirt has no word for, and a second monitor, which looks on."""
    options = domu.machine.partition(",")[2]
    monitor = f"pipe,id=witness,path=/dev/virtio-ports/{slot.port('qmp')}"
    return [*(["-machine", options] if options else []), "-chardev", monitor, "-mon", "chardev=witness,mode=control"]


def _devices(devices: Element, domu: DomuMachine, config: DomainConfig, slot: Slot) -> None:
    _text(devices, "emulator", domu.program)
    SubElement(devices, "controller", type="usb", model="none")
    if config.disks:
        SubElement(devices, "controller", type="scsi", index=str(VSCSI), model="ibmvscsi")
    SubElement(devices, "controller", type="scsi", index=str(PLUG), model="virtio-scsi")
    for number, use in enumerate(("console", "command")):
        serial = SubElement(devices, "serial", type="pipe")
        SubElement(serial, "source", path=f"/dev/virtio-ports/{slot.port(use)}")
        SubElement(serial, "target", type="spapr-vio-serial", port=str(number))
    for number, given in enumerate(config.disks):
        devices.append(_disk(given.disk, number, read_only=given.read_only))
    for nic in config.nics:
        devices.append(_nic(nic.mac, "spapr-vlan"))
    balloon = SubElement(devices, "memballoon", model="none" if config.balloon == "none" else "virtio")
    if config.balloon == "deflate-on-oom":
        balloon.set("autodeflate", "on")


def disk_name(number: int) -> str:
    """Return the name by which libvirt knows a domU's disk. Raises StepFailed when there are no more."""
    if number >= len(LETTERS):
        raise StepFailed(f"a domU has at most {len(LETTERS)} disks")
    return f"sd{LETTERS[number]}"


def plugged_disk(disk: Disk, number: int) -> tuple[str, str]:
    """Return a disk that is plugged in, as libvirt is told of it, and its name; `number` counts such disks."""
    return tostring(_disk(disk, FIRST_PLUGGED + number), encoding="unicode"), disk_name(FIRST_PLUGGED + number)


def plugged_nic(mac: str) -> str:
    """Return a network card that is plugged in as libvirt is told of it."""
    card = _nic(mac, "virtio")
    SubElement(card, "rom", enabled="no")
    return tostring(card, encoding="unicode")


def _disk(disk: Disk, number: int, *, read_only: bool = False) -> Element:
    kind, attribute = ("block", "dev") if disk.block_device else ("file", "file")
    top = Element("disk", type=kind, device="disk")
    # What dom0 cannot write is the domU's to know. A device that two dom0s share must not be kept in the cache of one.
    driver = {"name": "qemu", "type": "raw", "error_policy": "report", "rerror_policy": "report"}
    SubElement(top, "driver", driver | ({"cache": "none"} if disk.block_device else {}))
    SubElement(top, "source", {attribute: disk.path})
    SubElement(top, "target", dev=disk_name(number), bus="scsi")
    if read_only:
        SubElement(top, "readonly")
    return top


def _nic(mac: str, model: str) -> Element:
    top = Element("interface", type="bridge")
    SubElement(top, "mac", address=mac)
    SubElement(top, "source", bridge=BRIDGE)
    SubElement(top, "model", type=model)
    return top


def _text(parent: Element, name: str, text: str, **attributes: str) -> None:
    SubElement(parent, name, attributes).text = text
