"""A machine on which a hypervisor boots before the kernel."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec


def arguments(**given: object) -> list[str]:
    spec = MachineSpec(
        find_platform("pc-xen"),
        QemuBinary(("qemu",), "10.0"),
        "seabios",
        kernel=Path("vmlinux"),
        initrd=Path("initramfs.cpio"),
        append="word=a,b",
        **given,  # type: ignore[arg-type]
    )
    return spec.arguments({"qmp": 3, "console": 4, "command": 5})


def after(args: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(args) if name == option]


def test_a_hypervisor_is_handed_kernel_and_initramfs_as_modules() -> None:
    args = arguments(hypervisor=Path("xen"), entry="modules", hypervisor_args="console=com1")
    assert after(args, "-kernel") == ["xen"]
    assert after(args, "-append") == ["console=com1"]
    (modules,) = after(args, "-initrd")
    kernel, _, initrd = modules.rpartition(",")
    assert initrd == "initramfs.cpio"
    assert kernel.startswith("vmlinux console=hvc0 testbed.hostname=dom0 testbed.command=virtio-ports/dom0.command ")
    # A single comma would end the module.
    assert kernel.endswith("word=a,,b")


def test_without_one_the_kernel_boots_itself() -> None:
    args = arguments()
    assert after(args, "-kernel") == ["vmlinux"]
    assert after(args, "-append")[0].endswith("word=a,b")
    assert after(args, "-initrd") == ["initramfs.cpio"]
