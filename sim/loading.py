"""What QEMU loads into a machine before it starts: a kernel, or a hypervisor that enters one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# How dom0 is entered: its `kernel` is the hypervisor; or a hypervisor that is another file finds dom0's kernel where
# others find an `initrd`, or as the first of its Multiboot `modules`, has it `linked-in`, or enters `none`.
Entry = Literal["kernel", "initrd", "modules", "linked-in", "none"]
# Between a hypervisor's own arguments and those of dom0's kernel (XenPPC, arch/powerpc/boot_of.c).
BETWEEN = " -- "


@dataclass(frozen=True)
class Loading:
    """The files that are loaded, and the arguments of each. Without `hypervisor`, `kernel` is all that is started."""

    entry: Entry
    kernel: Path
    kernel_args: str
    initrd: Path | None = None
    hypervisor: Path | None = None
    hypervisor_args: str = ""

    def arguments(self) -> list[str]:
        """Return QEMU's arguments for them."""
        kernel, initrd = str(self.kernel), [str(self.initrd)] if self.initrd else []
        both = BETWEEN.join(part for part in (self.hypervisor_args, self.kernel_args) if part)
        match self.entry:
            case "modules":
                # A comma ends a module; two of them are one of its arguments' (QEMU, hw/i386/multiboot.c).
                modules = ",".join(one.replace(",", ",,") for one in (f"{kernel} {self.kernel_args}", *initrd))
                return ["-kernel", str(self.hypervisor), "-append", self.hypervisor_args, "-initrd", modules]
            case "initrd":
                return ["-kernel", str(self.hypervisor), "-append", both, "-initrd", kernel]
            case "linked-in":
                return ["-kernel", kernel, "-append", both]
            case "none":
                return ["-kernel", kernel, "-append", self.hypervisor_args or self.kernel_args]
        return ["-kernel", kernel, "-append", self.kernel_args, *(word for one in initrd for word in ("-initrd", one))]
