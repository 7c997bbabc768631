"""The command line of a domU's QEMU in dom0."""

from __future__ import annotations

import shlex

from harness.domain import Disk, DomainConfig
from harness.host import BRIDGE, Slot
from harness.hypervisor import DomuMachine

# How much of what a domU's QEMU printed goes with the news of its end.
FATE_LINES = 20
# maxmem over memory, measured: "VRMA only allows 256MiB" with 1 GiB (QEMU, hw/ppc/spapr.c, kvmppc_vrma_limit).
VRMA_SHARE = 4
# Device names, by which the toolstack finds them again.
BALLOON, SCSI, PLUG = "balloon", "scsi", "plug"
# Where NVRAMs are kept, and their size in bytes: what QEMU gives without a file (hw/nvram/spapr_nvram.c).
NVRAMS, NVRAM_SIZE = "/run/nvram", 65536


def memory_argument(domu: DomuMachine, memory: int, *, real_mode_area: int = 0, end: int = 0) -> str:
    """Return the value of `-m`; with 4 KiB pages the real-mode area needs maxmem and slots.

    QEMU sizes the hash table by maxmem, and lets the real-mode area (by default all of the memory) be as large as
    the table covers it: a quarter. `end` is where memory behind a hole ends.
    """
    most = max(domu.max_memory, memory, VRMA_SHARE * (real_mode_area or memory), end)
    return f"{memory}M,maxmem={most}M,slots=2"


def kernel_arguments(domu: DomuMachine, config: DomainConfig) -> str:
    """Return the command line of a domU's kernel."""
    consoles = domu.consoles
    words = [f"console={consoles.log}", f"testbed.command={consoles.command}", f"testbed.hostname={config.name}"]
    return " ".join(part for part in (*words, domu.kernel_args, config.append) if part)


def image_nodes(disk: Disk, *, read_only: bool) -> dict[str, object]:
    """Return the block node of a disk image, as `blockdev-add` takes it."""
    file: dict[str, object] = {"driver": "host_device" if disk.block_device else "file", "filename": disk.path}
    # A device that two dom0s share must not be kept in the cache of one.
    cache = {"direct": disk.block_device}
    return {
        "driver": "raw",
        "node-name": f"node-{disk.name}",
        "read-only": read_only,
        "cache": cache,
        "file": {**file, "cache": cache},
    }


def _flat(node: dict[str, object], prefix: str = "") -> list[str]:
    """Return a block node as the dotted keys of `-blockdev`."""
    words: list[str] = []
    for key, value in node.items():
        if isinstance(value, dict):
            words += _flat(value, f"{prefix}{key}.")
        else:
            text = ("on" if value else "off") if isinstance(value, bool) else str(value)
            words.append(f"{prefix}{key}={text}")
    return words


def arguments(domu: DomuMachine, config: DomainConfig, slot: Slot, *, incoming: bool) -> list[str]:
    """Return program and arguments. With `incoming` it waits for `migrate-incoming`."""
    args = [domu.program, "-name", config.name, "-L", domu.firmware_folder, "-machine", domu.machine]
    args += ["-cpu", domu.cpu, *_memory(domu, config), "-smp", _smp(config)]
    args += ["-nographic", "-nodefaults", "-action", "reboot=shutdown,shutdown=pause"]
    for use in ("console", "command", "qmp"):
        args += ["-chardev", f"pipe,id={use},path=/dev/virtio-ports/{slot.port(use)}"]
    args += ["-serial", "chardev:console", "-serial", "chardev:command", "-mon", "chardev=qmp,mode=control"]
    args += ["-kernel", domu.kernel, "-initrd", domu.initrd, "-append", kernel_arguments(domu, config)]
    args += ["-device", f"virtio-scsi-pci,id={PLUG}"]
    if config.balloon != "none":
        deflate = "on" if config.balloon == "deflate-on-oom" else "off"
        args += ["-device", f"virtio-balloon-pci,id={BALLOON},deflate-on-oom={deflate}"]
    if config.keeps_nvram:
        args += ["-drive", f"if=pflash,format=raw,file={NVRAMS}/{config.name}"]
    if config.disks:
        args += ["-device", f"spapr-vscsi,id={SCSI}"]
    for given in config.disks:
        node = image_nodes(given.disk, read_only=given.read_only)
        args += ["-blockdev", ",".join(_flat(node))]
        # What the host cannot write is the guest's to know: by default QEMU stops it instead.
        policy = "werror=report,rerror=report"
        args += ["-device", f"scsi-hd,id={given.disk.name},drive={node['node-name']},bus={SCSI}.0,{policy}"]
    for number, nic in enumerate(config.nics):
        tap = f"ifname={tap_name(slot, number)},script=no,downscript=no"
        args += ["-netdev", f"tap,id=net{number},{tap}"]
        args += ["-device", f"spapr-vlan,id=nic{number},netdev=net{number},mac={nic.mac}"]
    return [*args, *(["-incoming", "defer"] if incoming else [])]


def launch_script(args: list[str], config: DomainConfig, slot: Slot) -> str:
    """Return the script that starts the domU in the background and tells its end on its fate port."""
    log, fate = f"/run/{slot.name}.log", f"/dev/virtio-ports/{slot.port('fate')}"
    taps = "".join(make_tap(tap_name(slot, number)) for number in range(len(config.nics)))
    return (
        # What must succeed before the domU is started; its own end is told, whatever it was.
        f"set -e\nvirtio-ports {' '.join(slot.ports)}\n{taps}{make_nvram(config)}set +e\n"
        f"{{ {shlex.join(args)} >{log} 2>&1; status=$?\n"
        f"  {{ echo ended $status; tail -n {FATE_LINES} {log}; echo ended.; }} >{fate}\n"
        f"}} </dev/null >/dev/null 2>&1 &"
    )


def tap_name(slot: Slot, number: int) -> str:
    """Return the name of a domU's network interface in dom0."""
    return f"{slot.name}-{number}"


def make_tap(name: str) -> str:
    """Return the commands that make sure of a tap on dom0's bridge. It outlives its QEMU, and is used again."""
    return (
        f"[ -e /sys/class/net/{name} ] || tunctl -t {name} >/dev/null\n"
        f"[ -e /sys/class/net/{name}/brport ] || brctl addif {BRIDGE} {name}\n"
        f"ip link set {name} up\n"
    )


def make_nvram(config: DomainConfig) -> str:
    """Return the commands that make sure of a domU's NVRAM, if it is to be kept. It outlives its QEMU."""
    if not config.keeps_nvram:
        return ""
    path = f"{NVRAMS}/{config.name}"
    return f"mkdir -p {NVRAMS}\n[ -e {path} ] || truncate -s {NVRAM_SIZE} {path}\n"


def _smp(config: DomainConfig) -> str:
    words = [str(config.vcpus)]
    if config.max_vcpus > config.vcpus:
        words.append(f"maxcpus={config.max_vcpus}")
    if config.topology is not None:
        sockets, cores = config.topology
        words.append(f"sockets={sockets},cores={cores},threads=1")
    return ",".join(words)


def _memory(domu: DomuMachine, config: DomainConfig) -> list[str]:
    """Return the arguments of the memory, in the order that QEMU wants them."""
    area, end = config.real_mode_area, sum(config.hole or ())
    args = ["-m", memory_argument(domu, config.memory, real_mode_area=area, end=end)]
    if area:
        # The real-mode area ends with the first NUMA node.
        for name, size in (("low", area), ("high", config.memory - area)):
            args += ["-object", f"memory-backend-ram,id={name},size={size}M", "-numa", f"node,memdev={name}"]
    if config.hole is not None:
        address, size = config.hole
        args += ["-object", f"memory-backend-ram,id=far,size={size}M"]
        args += ["-device", f"pc-dimm,memdev=far,addr={address << 20}"]
    return args
