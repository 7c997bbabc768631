"""Scenarios x platforms x hypervisors x kernels: which cells there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import UsageError
from base.yamlmodel import suggest
from harness.hypervisor import OWN, Hypervisor, find_hypervisor, load_hypervisors
from harness.kernel import identify
from harness.qemus import known_qemus, own_qemu
from harness.scenario import Scenario
from results.model import CellId
from sim.platform import Architecture, Platform, find_platform

if TYPE_CHECKING:
    from harness.runspec import Templates

GDB = "gdb"


@dataclass(frozen=True)
class Choice:
    """What the user asks for; None means all there are.

    `kernel` is the name of a column, or the path of a kernel of the user's own; `qemu` a version for which there is an
    image, or the path of a program of the user's own (None: the hypervisor's). `templates` are
    what cells may do with templates at most; without any, they boot all that they need.
    """

    platform: str | None = None
    hypervisor: str | None = None
    kernel: str | None = None
    firmware: str | None = None
    append: str = ""
    templates: Templates = "make"
    qemu: str | None = None

    @property
    def own_kernel(self) -> Path | None:
        """The user's kernel file, if `kernel` is not the name of a column."""
        if self.kernel is None or self.kernel in all_columns():
            return None
        return Path(self.kernel).absolute()

    @property
    def own_qemu(self) -> Path | None:
        """The user's QEMU, if `qemu` is not the word for an image. Raises UsageError."""
        return own_qemu(self.qemu)

    def check(self) -> None:
        """Raise UsageError for a name that does not exist, or a file that is no kernel or QEMU."""
        own_qemu(self.qemu)
        architecture: Architecture = "ppc64"
        if self.platform:
            platform = find_platform(self.platform)
            platform.choose_firmware(self.firmware)
            architecture = platform.architecture
        if self.hypervisor:
            find_hypervisor(self.hypervisor)
        if (own := self.own_kernel) is None:
            return
        if not own.exists() and "/" not in str(self.kernel):
            columns = all_columns()
            raise UsageError(f"no kernel '{self.kernel}'{suggest(str(self.kernel), columns)}, or name a file")
        identify(own, architecture)


@dataclass(frozen=True)
class PlannedCell:
    """A cell before its images are known."""

    scenario: Scenario
    platform: Platform
    hypervisor: Hypervisor
    kernel: str
    firmware: str
    choice: Choice

    @property
    def name(self) -> str:
        """A short name that is unique within the scenario: `g5-kvm-pr-fixed`."""
        firmware = "" if self.firmware == self.platform.default_firmware else f"-{self.firmware}"
        qemu = f"-qemu-{self.axes['qemu']}" if "qemu" in self.axes else ""
        return f"{self.platform.name}-{self.hypervisor.name}-{self.kernel}{firmware}{qemu}"

    @property
    def axes(self) -> dict[str, str]:
        """What differs from the defaults of platform and hypervisor, by the names of the options that say so."""
        found = {} if self.firmware == self.platform.default_firmware else {"firmware": self.firmware}
        if self.choice.own_qemu is not None:
            return {**found, "qemu": OWN}
        return found if self.qemu_image == self.hypervisor.qemu else {**found, "qemu": str(self.choice.qemu)}

    @property
    def qemu_image(self) -> str:
        """The image of the outer QEMU: the one that was asked for, or the hypervisor's."""
        return known_qemus(self.platform.architecture).get(self.choice.qemu or "", self.hypervisor.qemu)

    @property
    def not_applicable(self) -> str | None:
        """Why the scenario makes no sense on the platform; None when it does."""
        wanted, most = self.scenario.machine.cpus, self.platform.max_cpus
        if wanted > most:
            return (
                f"{self.platform.name} has at most {most} CPU{'s' if most > 1 else ''}, the scenario is about {wanted}"
            )
        if self.scenario.machine.boot == "disk" and self.loader is None:
            return (
                f"{self.platform.name} with {self.firmware} starts no boot loader from a disk, "
                "the scenario is about one"
            )
        if lacking := [thing for thing in self.scenario.needs if thing not in self.hypervisor.offers]:
            return f"a domU of {self.hypervisor.name} has no {lacking[0]}, the scenario is about it"
        return None

    @property
    def loader(self) -> str | None:
        """The image of the boot loader by which dom0 boots; None when QEMU loads the kernel, or there is none."""
        on_disk = self.scenario.machine.boot == "disk"
        return self.platform.firmware[self.firmware].boot_loader if on_disk else None

    @property
    def templates(self) -> Templates:
        """Whether the cell may take its preparation from a template, and leave some.

        Not one that is about booting, nor one with several machines: their clocks run on from one another, as do
        those of machines that were switched on one after the other.
        """
        scenario = self.scenario
        cold = scenario.cold or scenario.machine.boot == "disk" or len(scenario.hosts) > 1
        return "none" if cold else self.choice.templates

    def id(self, qemu: str = "") -> CellId:
        """Return the cell's identity; `qemu` is the outer QEMU's version."""
        return CellId(
            feature=self.scenario.feature,
            scenario=self.scenario.name,
            platform=self.platform.name,
            hypervisor=self.hypervisor.name,
            kernel=self.kernel,
            qemu=qemu,
            firmware=self.firmware,
            axes=self.axes,
        )

    @property
    def images(self) -> list[str]:
        """The names of the images that the cell needs."""
        column = self.hypervisor.column(self.kernel)
        needed = [] if self.choice.own_qemu else [self.qemu_image]
        needed += [column.initrd, column.domu_kernel]
        if column.hypervisor:
            needed.append(column.hypervisor)
        if self.loader:
            needed.append(self.loader)
        if self.scenario.debugger:
            needed.append(GDB)
        return needed if self.kernel == OWN else [*needed, column.kernel]


def all_columns() -> list[str]:
    """Return the names of all kernels of all hypervisors."""
    return sorted({name for hypervisor in load_hypervisors().values() for name in hypervisor.kernels})


def plan(scenarios: Iterable[Scenario], choice: Choice) -> list[PlannedCell]:
    """Return all cells that the scenarios and the choice allow, in the order of scenario, platform, kernel.

    Raises UsageError for a scenario that names what does not exist, YamlError.
    """
    return [cell for scenario in scenarios for cell in _cells(scenario, choice)]


def _cells(scenario: Scenario, choice: Choice) -> list[PlannedCell]:
    hypervisors = load_hypervisors()
    for name in scenario.hypervisors or ():
        if name not in hypervisors:
            raise UsageError(f"scenario {scenario.name}: no hypervisor '{name}'{suggest(name, list(hypervisors))}")
    offers = sorted({thing for hypervisor in hypervisors.values() for thing in hypervisor.offers})
    for thing in scenario.needs:
        if thing not in offers:
            raise UsageError(f"scenario {scenario.name}: no hypervisor offers '{thing}'{suggest(thing, offers)}")
    found: list[PlannedCell] = []
    for hypervisor in hypervisors.values():
        if not _wanted(hypervisor.name, scenario.hypervisors, choice.hypervisor):
            continue
        for name in hypervisor.platforms:
            if not _wanted(name, scenario.platforms, choice.platform):
                continue
            platform = find_platform(name)
            # What a user brings without a word for what is for PowerPC.
            own = choice.own_kernel or choice.own_qemu
            if own and not choice.platform and platform.architecture != "ppc64":
                continue
            # An axis that a platform does not have leaves it out, unless the platform was asked for.
            if choice.firmware and choice.firmware not in platform.firmware and not choice.platform:
                continue
            firmware = platform.choose_firmware(choice.firmware)
            found += [
                PlannedCell(scenario, platform, hypervisor, kernel, firmware, choice)
                for kernel in _kernels(hypervisor, choice)
            ]
    return found


def _wanted(name: str, limited: Sequence[str] | None, asked: str | None) -> bool:
    return (limited is None or name in limited) and asked in (None, name)


def _kernels(hypervisor: Hypervisor, choice: Choice) -> list[str]:
    if choice.kernel is None:
        return list(hypervisor.kernels)
    if choice.own_kernel is not None:
        return [OWN]
    return [choice.kernel] if choice.kernel in hypervisor.kernels else []
