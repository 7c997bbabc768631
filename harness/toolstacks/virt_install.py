"""The command line of virt-install(1), which makes a domU of a kernel and an initrd."""

from __future__ import annotations

from harness.domain import DomainConfig
from harness.host import BRIDGE, Slot
from harness.hypervisor import DomuMachine
from harness.toolstacks.libvirt_xml import beyond_libvirt, passthrough, uuid_of
from harness.toolstacks.qemu_args import kernel_arguments
from harness.verbs import StepFailed

# What a domU of the test bed's has none of, and what virt-install would give it unasked.
WITHOUT = {"graphics": "none", "controller": "usb,model=none", "channel": "none", "rng": "none", "console": "none"}


def install_arguments(domu: DomuMachine, config: DomainConfig, slot: Slot) -> list[str]:
    """Return program and arguments for a domU whose ports are a slot's. Raises StepFailed for what is not asked so."""
    asked = {"max-vcpus": config.max_vcpus > 0, "topology": config.topology is not None}
    if refused := [*beyond_libvirt(config), *(name for name, wanted in asked.items() if wanted)]:
        raise StepFailed(f"{config.name}: `install` knows no {refused[0]}", hint="use `create`")
    args = ["virt-install", "--connect", "qemu:///system", "--virt-type", "kvm", "--noautoconsole", "--import"]
    args += ["--name", config.name, "--uuid", uuid_of(config.name)]
    # Which system it is changes only what virt-install adds by itself.
    args += ["--osinfo", "generic", "--cpu", "host-passthrough"]
    args += ["--memory", str(config.memory), "--vcpus", str(config.vcpus)]
    line = kernel_arguments(domu, config)
    args += ["--boot", f"kernel={domu.kernel},initrd={domu.initrd},kernel_args='{line}'"]
    for number, use in enumerate(("console", "command")):
        port = f"/dev/virtio-ports/{slot.port(use)}"
        args += ["--serial", f"pipe,source.path={port},target.type=spapr-vio-serial,target.port={number}"]
    for given in config.disks:
        policy = "driver.error_policy=report,xpath1.set=./driver/@rerror_policy=report"
        shared = ",cache=none" if given.disk.block_device else ""
        read_only = ",readonly=on" if given.read_only else ""
        args += ["--disk", f"path={given.disk.path},format=raw,bus=scsi,{policy}{shared}{read_only}"]
    for nic in config.nics:
        args += ["--network", f"bridge={BRIDGE},model=spapr-vlan,mac={nic.mac}"]
    args += [*([] if config.disks else ["--disk", "none"]), *([] if config.nics else ["--network", "none"])]
    auto = ",autodeflate=on" if config.balloon == "deflate-on-oom" else ""
    args += ["--memballoon", "model=none" if config.balloon == "none" else f"model=virtio{auto}"]
    args += ["--events", "on_poweroff=destroy,on_reboot=restart,on_crash=preserve"]
    args += [word for option, value in WITHOUT.items() for word in (f"--{option}", value)]
    return [*args, f"--qemu-commandline={' '.join(passthrough(domu, slot))}"]
