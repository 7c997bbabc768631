"""Platforms: simulated machines as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from base.errors import UsageError
from base.yamlmodel import Model, Named, load_folder, suggest
from sim.bootable import FirmwareRules, ImageRules

FOLDER = Path(__file__).parent / "platforms"
Architecture = Literal["ppc64", "x86_64"]
Accelerator = Literal["kvm", "tcg"]
# The host name of a machine's privileged domain, unless there are several machines.
DOM0 = "dom0"
# What a firmware of the user's is called.
OWN = "own"


class Consoles(Model):
    """The guest's devices below /dev: `log` is the kernel's terminal, `command` the harness's channel.

    A command channel `virtio-ports/NAME` is a port of virtio-serial, any other the second serial line. A machine on
    which nothing can be asked yet has none (None), and no other ports either. So many serial `lines`, the first and
    those after it, are console 0 together; Ctrl-A must then be typed twice (QEMU's mux).
    """

    log: str
    command: str | None = None
    lines: Annotated[int, Field(ge=1, le=4)] = 1

    @property
    def command_port(self) -> str | None:
        """The name of the virtio-serial port that carries commands; None when a serial line does."""
        folder, _, name = (self.command or "").partition("/")
        return name if folder == "virtio-ports" else None


class DeviceTree(Model):
    """What the firmware's device tree must say: regular expressions for the model, and for each CPU node's name.

    A PC says so in its DMI tables and by `cpuid`, a domU without any firmware by its hypervisor's name and version.
    """

    model: str
    cpu: str


class Firmware(Model):
    """What choosing one firmware adds: options of the machine type, arguments of QEMU.

    `boot_loader` is an image: what it starts from a disk's PReP partition (None: it starts nothing from a disk).
    `misses_disk` is what it says (a regular expression) when it has not seen a disk that is there ("": it always does).
    """

    machine: str = ""
    boot_loader: str | None = None
    misses_disk: str = ""
    args: tuple[str, ...] = ()


class Platform(Named):
    """A simulated machine: QEMU machine type, CPU, firmware, consoles. `memory` is in MiB.

    `nic` is the network card (QEMU's device name) that a machine gets when it is joined to another, `disk` the
    device (with its options) of a disk to boot from, `shared_disk` that of one which two machines see ("":
    virtio-blk-pci). `saved_memory` is how a saved machine's memory is kept: in a
    file that clones map and share (`mapped`), or in the `stream` with the rest. `cpu_threads` is whether several
    CPUs are each a thread of the host (`multi`), or one after the other run by a `single` one. `icount` is how long an
    instruction takes under `tcg`, 2 to its power in ns (QEMU's `-icount shift=`; None: as long as it takes the host),
    by which alone its time then goes; a machine that is joined to another keeps the host's time. `random` is the device
    (QEMU's name) from which its kernel has entropy, "" for none; `ports` the one whose ports are what a command channel
    and domUs' consoles go through.
    `screen` are the arguments of QEMU that give it a screen, in place of `-nographic` (none: it has none).
    `images` says what it starts as a kernel, `own_firmware` what as a firmware of the user's (None: nothing).
    `architecture` is in QEMU's words: `qemu-system-...` simulates it. `pace` is how much longer things take on it than
    the deadlines of verbs and scenarios allow for.
    `accelerators` are what may run it (QEMU's names), the best first; all but `tcg` are tried before they are used.
    `simulated_cpu` are properties that its CPU has under `tcg` alone, as QEMU's `-cpu` takes them.
    `interrupt_controller` is the PCI device (`vendor:device`) that its interrupt controller is part of and that its
    kernel may hide from itself (sim/hidden.py), "" if there is none.
    """

    title: str
    note: str = ""
    architecture: Architecture = "ppc64"
    pace: Annotated[float, Field(ge=1)] = 1.0
    machine: str
    cpu: str
    simulated_cpu: str = ""
    interrupt_controller: Annotated[str, Field(pattern=r"^([0-9a-f]{4}:[0-9a-f]{4})?$")] = ""
    memory: Annotated[int, Field(gt=0)]
    cpus: Annotated[int, Field(gt=0)] = 1
    max_cpus: Annotated[int, Field(gt=0)]
    accelerators: tuple[Accelerator, ...] = ("tcg",)
    args: tuple[str, ...] = ()
    random: str = ""
    kernel_args: str = ""
    consoles: Consoles
    screen: tuple[str, ...] = ()
    ports: str = "virtio-serial-pci"
    nic: str
    disk: str
    shared_disk: str = ""
    device_tree: DeviceTree
    cpu_threads: Literal["multi", "single"] = "multi"
    # QEMU takes no longer one (accel/tcg/icount-common.c, MAX_ICOUNT_SHIFT).
    icount: Annotated[int, Field(ge=0, le=10)] | None = None
    saved_memory: Literal["mapped", "stream"] = "stream"
    firmware: dict[str, Firmware] = Field(min_length=1)
    images: ImageRules = ImageRules()
    own_firmware: FirmwareRules | None = None

    @field_validator("firmware")
    @classmethod
    def _no_reserved_firmware(cls, firmware: dict[str, Firmware]) -> dict[str, Firmware]:
        if OWN in firmware:
            raise ValueError(f"the firmware name '{OWN}' is kept for the user's file")
        return firmware

    def load(self, cpus: int) -> int:
        """Return how many processors of the host so many CPUs of the machine can keep busy."""
        return 1 if self.cpu_threads == "single" else cpus

    @property
    def cedes(self) -> bool:
        """Whether its CPUs can sleep by H_CEDE, a call of PAPR's, in which QEMU may lose them (sim/lost.py)."""
        return self.machine.startswith("pseries")

    @property
    def default_firmware(self) -> str:
        """The firmware that is used unless one is asked for: the first of the file."""
        return next(iter(self.firmware))

    def options(self, firmware: str) -> Firmware:
        """Return what choosing a firmware adds; one of the user's takes the place of the default."""
        return self.firmware[self.default_firmware if firmware == OWN else firmware]

    def choose_firmware(self, name: str | None) -> str:
        """Return `name` if the platform has that firmware, its default for None. Raises UsageError."""
        chosen = name or self.default_firmware
        if chosen not in self.firmware:
            raise UsageError(f"platform {self.name} has no firmware '{chosen}'{suggest(chosen, list(self.firmware))}")
        return chosen


@cache
def load_platforms(folder: Path = FOLDER) -> dict[str, Platform]:
    """Read all platforms of a folder, by name. Raises YamlError."""
    return load_folder(folder, Platform)


def find_platform(name: str, folder: Path = FOLDER) -> Platform:
    """Return one platform by name. Raises UsageError for an unknown name, YamlError."""
    platforms = load_platforms(folder)
    if name not in platforms:
        raise UsageError(f"no platform '{name}'{suggest(name, list(platforms))}")
    return platforms[name]
