"""Hypervisors as data, and the one question that each must answer for itself: is it there?"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from base.errors import UsageError
from base.yamlmodel import Model, Named, load_folder, suggest
from harness.verbs import Pattern, StepFailed
from sim.alarms import AlarmRule
from sim.platform import Consoles, DeviceTree

FOLDER = Path(__file__).parent / "hypervisors"

# What an image of a Linux kernel calls it, and where the image of any kernel has its release.
KERNEL, RELEASE = "vmlinux", "release"

Positive = Annotated[int, Field(gt=0)]


class Column(Model):
    """One kernel of a hypervisor: a column of the matrix. The rest are names of images.

    `kernel` is what the machine is started with, its `file` in the image. `domu_kernel` is the image that `initrd`
    carries as the domU's kernel. A hypervisor without a dom0 has neither of these two.
    """

    title: str
    kernel: str
    file: str = KERNEL
    initrd: str | None = None
    domu_kernel: str | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """The images that belong to the kernel."""
        return tuple(name for name in (self.initrd, self.domu_kernel) if name)


class Boot(Model):
    """How a hypervisor shows that it has started: `shows` (a regular expression) matches what dom0 answers to
    `command`, or what console 0 shows if there is no command to ask with.

    `then` is what comes next: its dom0 opens it (`dom0`), or it switches the machine off in order, because there is
    no more in it (`power-off`). `silence` is how long it may work without a word on the console (seconds of a calm
    host; None: as long as any domain).
    """

    shows: Pattern
    command: str | None = None
    then: Literal["dom0", "power-off"] = "dom0"
    silence: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _somebody_answers(self) -> Boot:
        if self.command and self.then == "power-off":
            raise ValueError("there is no dom0 to answer a `command` before a power-off")
        return self


class DomuMachine(Model):
    """How the toolstack makes a domU. Paths are dom0's; memory is in MiB."""

    program: str
    firmware_folder: str
    machine: str
    cpu: str
    kernel: str
    initrd: str
    consoles: Consoles
    device_tree: DeviceTree
    memory: Positive
    memory_quantum: Positive
    max_memory: Positive

    @field_validator("consoles")
    @classmethod
    def _can_be_asked(cls, value: Consoles) -> Consoles:
        if not value.command:
            raise ValueError("a domU needs a command channel")
        return value

    @field_validator("machine")
    @classmethod
    def _one_word(cls, value: str) -> str:
        return "".join(value.split())


class Hypervisor(Named):
    """What is under test, on which platforms, with which kernels and toolstack. `qemu` is an image.

    `boot` is how it shows that it has started. One that starts no dom0 has no toolstack and no domU.
    `offers` are things that only some hypervisors have for a domU, and that a scenario may need. `alarms` are lines by
    which it says on a console that a guest is lost. `hcall_exits` is the counter of KVM's, per vCPU,
    that takes in every hypercall.
    """

    title: str
    toolstack: str | None = None
    platforms: tuple[str, ...] = Field(min_length=1)
    qemu: str
    kernels: dict[str, Column] = Field(min_length=1)
    boot: Boot
    domu_machine: DomuMachine | None = Field(default=None, alias="domu")
    offers: tuple[str, ...] = ()
    hcall_exits: str = "sum_exits"
    alarms: tuple[AlarmRule, ...] = ()

    @model_validator(mode="after")
    def _no_reserved_column(self) -> Hypervisor:
        if OWN in self.kernels:
            raise ValueError(f"the kernel name '{OWN}' is kept for the user's file")
        return self

    @model_validator(mode="after")
    def _is_whole(self) -> Hypervisor:
        parts = [self.toolstack, self.domu_machine]
        parts += [image for column in self.kernels.values() for image in (column.initrd, column.domu_kernel)]
        wanted = self.boot.then == "dom0"
        if any((part is not None) != wanted for part in parts):
            told = "needs" if wanted else "has no dom0, so it cannot have"
            raise ValueError(f"it {told} a `toolstack`, a `domu`, and in each kernel `initrd` and `domu-kernel`")
        return self

    @property
    def domu(self) -> DomuMachine:
        """How a domU is made. Raises StepFailed when there is none."""
        if self.domu_machine is None:
            raise StepFailed(f"{self.name} has no domU: it starts no dom0")
        return self.domu_machine

    def column(self, name: str) -> Column:
        """Return a kernel's column; the user's own kernel takes the place of the last one's. Raises UsageError."""
        if name == OWN:
            return self.kernels[list(self.kernels)[-1]]
        if name not in self.kernels:
            raise UsageError(f"{self.name} has no kernel '{name}'{suggest(name, [*self.kernels, OWN])}")
        return self.kernels[name]


OWN = "own"


@cache
def load_hypervisors(folder: Path = FOLDER) -> dict[str, Hypervisor]:
    """Read all hypervisors of a folder, by name. Raises YamlError."""
    return load_folder(folder, Hypervisor)


def find_hypervisor(name: str) -> Hypervisor:
    """Return one hypervisor by name. Raises UsageError for an unknown name, YamlError."""
    known = load_hypervisors()
    if name not in known:
        raise UsageError(f"no hypervisor '{name}'{suggest(name, list(known))}")
    return known[name]
