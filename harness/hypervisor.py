"""Hypervisors as data, and the one question that each must answer for itself: is it there?"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from base.errors import UsageError
from base.yamlmodel import Model, Named, load_folder, suggest
from sim.alarms import AlarmRule
from sim.platform import Consoles, DeviceTree

FOLDER = Path(__file__).parent / "hypervisors"

Positive = Annotated[int, Field(gt=0)]


class Column(Model):
    """One kernel of a hypervisor: a column of the matrix. The rest are names of images.

    `domu_kernel` is the image that `initrd` carries as the domU's kernel. `hypervisor` is what boots before dom0's
    kernel (None: the kernel is the hypervisor).
    """

    title: str
    hypervisor: str | None = None
    kernel: str
    initrd: str
    domu_kernel: str


class DomuMachine(Model):
    """How the toolstack makes a domU. Paths are dom0's; memory is in MiB.

    `program`, `firmware_folder`, `machine` and `cpu` are for a toolstack that runs a QEMU for each domU.
    """

    program: str = ""
    firmware_folder: str = ""
    machine: str = ""
    cpu: str = ""
    kernel: str
    initrd: str
    consoles: Consoles
    device_tree: DeviceTree
    memory: Positive
    memory_quantum: Positive
    max_memory: Positive

    @field_validator("machine")
    @classmethod
    def _one_word(cls, value: str) -> str:
        return "".join(value.split())


class Hypervisor(Named):
    """What is under test, on which platforms, with which kernels and toolstack. `qemu` is an image.

    `offers` are things that only some hypervisors have for a domU, and that a scenario may need. `alarms` are lines by
    which it says on a console that a guest is lost. `arguments` are the hypervisor's own, where it is not dom0's
    kernel; `dom0_memory` (MiB) is then what it gives dom0. `hcall_exits` is the counter of KVM's, per vCPU,
    that takes in every hypercall.
    """

    title: str
    toolstack: str
    platforms: tuple[str, ...] = Field(min_length=1)
    qemu: str
    arguments: str = ""
    dom0_memory: Positive | None = None
    kernels: dict[str, Column] = Field(min_length=1)
    domu: DomuMachine
    offers: tuple[str, ...] = ()
    hcall_exits: str = "sum_exits"
    alarms: tuple[AlarmRule, ...] = ()

    @model_validator(mode="after")
    def _no_reserved_column(self) -> Hypervisor:
        if OWN in self.kernels:
            raise ValueError(f"the kernel name '{OWN}' is kept for the user's file")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Hypervisor:
        domu = self.domu
        if self.toolstack == "qemu" and not all((domu.program, domu.firmware_folder, domu.machine, domu.cpu)):
            raise ValueError("the toolstack `qemu` needs domu's program, firmware-folder, machine and cpu")
        return self

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
