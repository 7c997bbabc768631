"""Files that users bring in place of images: who takes them, and whether the platforms can start them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import UsageError
from harness.kernel import identify
from sim.bootable import check_firmware, check_initrd, check_kernel

if TYPE_CHECKING:
    from harness.hypervisor import Hypervisor
    from harness.plan import Choice, PlannedCell


def refusal(hypervisor: Hypervisor, choice: Choice) -> UsageError | None:
    """Return why a hypervisor has no use for a file that the user brings; None when it has, or there is none."""
    name, entry = hypervisor.name, hypervisor.entry
    if entry == "kernel":
        if choice.hypervisor_image is not None:
            return UsageError(
                f"--hypervisor-image: {name} is a part of dom0's kernel, not a file of its own",
                hint="give that kernel with --kernel",
            )
        if choice.dom0 is not None:
            return UsageError(f"--dom0: dom0's kernel is {name} itself", hint="give it with --kernel")
        return None
    if choice.own_kernel is not None and hypervisor.two_files:
        return UsageError(
            f"--kernel: {name} and its dom0's kernel are two files",
            hint="give them with --hypervisor-image and --dom0",
        )
    if not hypervisor.two_files:
        reason = "has its dom0 linked in" if entry == "linked-in" else "starts no dom0"
        if choice.own_kernel is not None:
            return UsageError(f"--kernel: {name} {reason}", hint="give the hypervisor with --hypervisor-image")
        for option, given in (("--dom0", choice.dom0), ("--initrd", choice.initrd)):
            if given is not None:
                return UsageError(f"{option}: {name} {reason}", hint=f"leave {option} out")
    if entry == "initrd" and choice.initrd is not None:
        return UsageError(
            f"--initrd: {name} takes dom0's kernel where others take an initramfs",
            hint="build the initramfs into that kernel (CONFIG_INITRAMFS_SOURCE), and give it with --dom0",
        )
    return None


def check_files(cells: Iterable[PlannedCell]) -> None:
    """Look at the files that the user brings for these cells. Raises UsageError for what a platform cannot start."""
    seen: set[tuple[object, ...]] = set()
    for cell in cells:
        platform, hypervisor = cell.platform, cell.hypervisor
        memory = max(cell.scenario.machine.memory, platform.memory)
        firmware = cell.choice.own_firmware
        files = {part: source for part, source in cell.sources.items() if isinstance(source, Path)}
        if (key := (platform.name, hypervisor.name, memory, *files.items())) in seen:
            continue
        seen.add(key)
        if "hypervisor" in files:
            check_kernel(files["hypervisor"], platform.images, platform.name, memory, "hypervisor")
        if "kernel" in files:
            what = "kernel" if hypervisor.entry == "kernel" else "kernel for dom0"
            alone = hypervisor.entry in ("linked-in", "none")
            check_kernel(files["kernel"], platform.images, platform.name, memory, "hypervisor" if alone else what)
            if not alone:
                identify(files["kernel"], platform.architecture)
        if "initrd" in files:
            check_initrd(files["initrd"], platform.name, memory)
        if firmware is not None:
            check_firmware(firmware, platform.own_firmware, platform.name)
