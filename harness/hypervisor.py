"""Hypervisors as data, and the one question that each must answer for itself: is it there?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from base.errors import UsageError
from base.yamlmodel import Model, Named, YamlError, load_folder, parse, suggest, validate
from harness.scenario import NAME
from harness.verbs import Pattern, StepFailed
from sim.alarms import AlarmRule
from sim.loading import Entry
from sim.platform import OWN, Consoles, DeviceTree, load_platforms

FOLDER = Path(__file__).parent / "hypervisors"
# The environment's variable for folders with hypervisors of the user's.
FOLDERS = "TESTBED_HYPERVISORS"
# Those of harness.toolstacks.
TOOLSTACKS = ("libvirt", "qemu", "xl")

# What an image of a Linux kernel calls it, and where the image of any kernel has its release.
KERNEL, RELEASE = "vmlinux", "release"

Positive = Annotated[int, Field(gt=0)]


class UserFile(Model):
    """A file of the user's, in place of an image: in YAML by its path from the folder of the YAML file."""

    file: Path


Source = str | UserFile


class Column(Model):
    """One kernel of a hypervisor: a column of the matrix. The rest are names of images, or files of the user's.

    `hypervisor` is what the machine starts before dom0's kernel (None: only `kernel`); `file` is what an image of the
    kernel calls it. `domu_kernel` is the image that `initrd` carries as the domU's kernel. Without a toolstack there
    are neither of these two.
    """

    title: str
    hypervisor: Source | None = None
    kernel: Source
    file: str = KERNEL
    initrd: Source | None = None
    domu_kernel: str | None = None


class DomuMachine(Model):
    """How the toolstack makes a domU. Paths are dom0's; memory is in MiB.

    `program`, `firmware_folder`, `machine` and `cpu` are for a toolstack that runs a QEMU for each domU. `kernel_args`
    are what its kernel is told besides its consoles and its name.
    """

    program: str = ""
    firmware_folder: str = ""
    machine: str = ""
    cpu: str = ""
    kernel: str
    initrd: str
    kernel_args: str = ""
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


class Dom0(Model):
    """How a hypervisor that is a file of its own enters dom0.

    It finds dom0's kernel where others find an `initrd`, or as the first of its multiboot `modules`, has it
    `linked-in`, or enters `none`. (`kernel`: dom0's kernel is the hypervisor, as with KVM.)
    """

    entry: Entry


class Boot(Model):
    """How a hypervisor shows that it has started: `shows` (a regular expression) matches what dom0 answers to
    `command`, or what console 0 shows if there is no command to ask with.

    `then` is what comes next: its dom0 opens it for the toolstack (`dom0`), it switches the machine off in order,
    because there is no more in it (`power-off`), or anything (`any`: nobody asks). `silence` is how long it may work
    without a word on the console (seconds of a calm host; None: as long as any domain).
    """

    shows: Pattern
    command: str | None = None
    then: Literal["dom0", "power-off", "any"] = "dom0"
    silence: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _somebody_answers(self) -> Boot:
        if self.command and self.then != "dom0":
            raise ValueError(f"there is no dom0 to answer a `command` before `then: {self.then}`")
        return self


class Hypervisor(Named):
    """What is under test, on which platforms, with which kernels and toolstack. `qemu` is an image.

    `dom0` says how it enters dom0, `arguments` are its own, where dom0's kernel is another file, and `dom0_memory`
    (MiB) is then what it gives dom0; `boot` is how it shows that it has started. `offers` are things that only some
    hypervisors have, and that a scenario may need. `features` are the rows that it is there for (none: all). `alarms`
    are lines by which it says on a console that a guest is lost. `hcall_exits` is the counter of KVM's, per vCPU, that
    takes in every hypercall. Without a toolstack there is no domU. `folder` is where one of the user's was read; the
    file does not say it.
    """

    title: str
    toolstack: str | None = None
    platforms: tuple[str, ...] = Field(min_length=1)
    qemu: str
    kernels: dict[str, Column] = Field(min_length=1)
    dom0: Dom0 | None = None
    arguments: str = ""
    dom0_memory: Positive | None = None
    boot: Boot
    domu_machine: DomuMachine | None = Field(default=None, alias="domu")
    offers: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    hcall_exits: str = "sum_exits"
    alarms: tuple[AlarmRule, ...] = ()
    folder: Path | None = None

    @model_validator(mode="after")
    def _no_reserved_column(self) -> Hypervisor:
        if OWN in self.kernels:
            raise ValueError(f"the kernel name '{OWN}' is kept for the user's file")
        return self

    @model_validator(mode="after")
    def _is_whole(self) -> Hypervisor:
        wanted = self.toolstack is not None
        if (self.boot.then == "dom0") != wanted:
            raise ValueError("with a `toolstack`, `boot: {then: dom0}` is what follows; without one, it is not")
        parts = [self.domu_machine, *(column.domu_kernel for column in self.kernels.values())]
        if any((part is not None) != wanted for part in parts):
            told = "with a `toolstack` there are" if wanted else "without a `toolstack` there can be no"
            raise ValueError(f"{told} a `domu`, and in each kernel a `domu-kernel`")
        for name, column in self.kernels.items():
            if (column.hypervisor is not None) != self.two_files:
                told = "is needed" if self.two_files else "is one too many"
                raise ValueError(f"kernel {name}: `hypervisor` {told}, as `dom0: {{entry: {self.entry}}}` has it")
            if column.initrd is not None and self.entry not in ("kernel", "modules"):
                raise ValueError(
                    f"kernel {name}: with `dom0: {{entry: {self.entry}}}` there is no place for an `initrd`"
                )
        return self

    @property
    def entry(self) -> Entry:
        """How dom0 is entered: as `dom0` says, or as the rest of the file leaves no doubt."""
        if self.dom0:
            return self.dom0.entry
        if any(column.hypervisor is not None for column in self.kernels.values()):
            return "modules"
        return "none" if self.boot.then == "power-off" else "kernel"

    @property
    def two_files(self) -> bool:
        """Whether dom0's kernel is another file than the hypervisor."""
        return self.entry in ("initrd", "modules")

    @property
    def domu(self) -> DomuMachine:
        """How a domU is made. Raises StepFailed without a toolstack."""
        if self.domu_machine is None:
            raise StepFailed(f"{self.name} has no toolstack, so no domU can be made")
        return self.domu_machine

    @model_validator(mode="after")
    def _can_make_domus(self) -> Hypervisor:
        domu = self.domu_machine
        needed = (domu.program, domu.firmware_folder, domu.machine, domu.cpu) if domu else ()
        if self.toolstack == "qemu" and not all(needed):
            raise ValueError("the toolstack `qemu` needs domu's program, firmware-folder, machine and cpu")
        return self

    def column(self, name: str) -> Column:
        """Return a kernel's column; the user's own kernel takes the place of the last one's. Raises UsageError."""
        if name == OWN:
            return self.kernels[list(self.kernels)[-1]]
        if name not in self.kernels:
            raise UsageError(f"{self.name} has no kernel '{name}'{suggest(name, [*self.kernels, OWN])}")
        return self.kernels[name]

    def below(self, folder: Path) -> Hypervisor:
        """Return it with the paths of the user's files counted from a folder."""

        def placed(source: Source | None) -> Source | None:
            return UserFile(file=folder / source.file.expanduser()) if isinstance(source, UserFile) else source

        kernels = {
            name: column.model_copy(
                update={part: placed(getattr(column, part)) for part in ("hypervisor", "kernel", "initrd")}
            )
            for name, column in self.kernels.items()
        }
        return self.model_copy(update={"kernels": kernels, "folder": folder})


def load_hypervisors() -> dict[str, Hypervisor]:
    """Return the project's hypervisors, and those in the user's folders, by name. Raises YamlError, UsageError."""
    return load_from(own_folders())


def own_folders() -> tuple[Path, ...]:
    """Return the folders of hypervisors that the user names in the environment."""
    words = os.environ.get(FOLDERS, "").split(os.pathsep)
    return tuple(Path(word).expanduser().absolute() for word in words if word)


def use_folders(names: Sequence[str]) -> None:
    """Let hypervisors in these folders be known, here and in child processes, besides those of the environment."""
    if names:
        os.environ[FOLDERS] = os.pathsep.join([*names, *map(str, own_folders())])


def find_hypervisor(name: str) -> Hypervisor:
    """Return one hypervisor by name. Raises UsageError for an unknown name, YamlError."""
    known = load_hypervisors()
    if name not in known:
        raise UsageError(f"no hypervisor '{name}'{suggest(name, list(known))}")
    return known[name]


@cache
def load_from(folders: tuple[Path, ...]) -> dict[str, Hypervisor]:
    """Return the project's hypervisors, and those in these folders, by name. Raises YamlError, UsageError."""
    found = dict(load_folder(FOLDER, Hypervisor))
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder of hypervisors at {folder}", hint=f"see --hypervisors, and {FOLDERS}")
        for path in sorted(folder.glob("*.yaml")):
            hypervisor = load_one(path)
            if hypervisor.name in found:
                raise YamlError([f"{path}:1:1: there is a hypervisor '{hypervisor.name}' already: choose another name"])
            found[hypervisor.name] = hypervisor.below(folder)
    return found


def load_one(path: Path) -> Hypervisor:
    """Read a hypervisor's file with all that only a look at other files can tell. Raises YamlError, UsageError."""
    document = parse(path)
    hypervisor = validate(document, Hypervisor)
    problems = []
    if hypervisor.name != path.stem or not NAME.fullmatch(hypervisor.name):
        place = document.place(("name",))
        problems.append(
            f"{place}: name is '{hypervisor.name}'; it must be the file's, in small letters, digits, - and _"
        )
    platforms = list(load_platforms())
    for index, name in enumerate(hypervisor.platforms):
        if name not in platforms:
            problems.append(f"{document.place(('platforms', index))}: no platform '{name}'{suggest(name, platforms)}")
    for name in hypervisor.kernels:
        if not NAME.fullmatch(name):
            place = document.place(("kernels", name))
            problems.append(f"{place}: a kernel's name is made of small letters, digits, - and _")
    if hypervisor.toolstack not in (None, *TOOLSTACKS):
        place = document.place(("toolstack",))
        problems.append(f"{place}: no toolstack '{hypervisor.toolstack}'{suggest(hypervisor.toolstack, TOOLSTACKS)}")
    if problems:
        raise YamlError(problems, hint="a hypervisor of your own: docs/bring-your-own.md")
    return hypervisor
