"""Scenarios x platforms x hypervisors x kernels: which cells there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import UsageError
from base.yamlmodel import suggest
from harness.bring import refusal
from harness.hypervisor import Hypervisor, find_hypervisor, load_hypervisors
from harness.qemus import known_qemus, own_qemu
from harness.scenario import Scenario
from results.model import CellId
from sim.platform import OWN, Platform, find_platform, load_platforms

if TYPE_CHECKING:
    from harness.runspec import Templates

GDB = "gdb"


@dataclass(frozen=True)
class Choice:
    """What the user asks for; None means all there are.

    `kernel` is the name of a column, or the path of a kernel of the user's own; `qemu` a version for which there is an
    image, or the path of a program of the user's own (None: the hypervisor's). `firmware` is one of the platform's, or
    the path of one of the user's own; `initrd`, `dom0` and `hypervisor_image` are paths of such files. `templates` are
    what cells may do with templates at most; without any, they boot all that they need.
    """

    platform: str | None = None
    hypervisor: str | None = None
    kernel: str | None = None
    firmware: str | None = None
    append: str = ""
    templates: Templates = "make"
    qemu: str | None = None
    initrd: str | None = None
    dom0: str | None = None
    hypervisor_image: str | None = None

    @property
    def own_kernel(self) -> Path | None:
        """The user's kernel file, if `kernel` is not the name of a column."""
        if self.kernel is None or self.kernel in all_columns():
            return None
        return Path(self.kernel).absolute()

    @property
    def own_firmware(self) -> Path | None:
        """The user's firmware file, if `firmware` is not the name of a platform's."""
        word = self.firmware
        if word is None or any(word in platform.firmware for platform in load_platforms().values()):
            return None
        path = Path(word).absolute()
        return path if "/" in word or path.exists() else None

    @property
    def own_files(self) -> dict[str, Path]:
        """The user's files that do not make a kernel's column, by the names of the options that name them."""
        given = {"initrd": self.initrd, "dom0": self.dom0, "hypervisor-image": self.hypervisor_image}
        found = {name: Path(word).absolute() for name, word in given.items() if word is not None}
        return found if self.own_firmware is None else {"firmware": self.own_firmware, **found}

    def kernel_for(self, hypervisor: Hypervisor) -> Path | None:
        """Return the user's file that takes the place of a hypervisor's `kernel`."""
        if hypervisor.entry == "kernel":
            return self.own_kernel
        return self.own_files.get("dom0" if hypervisor.two_files else "hypervisor-image")

    @property
    def own_qemu(self) -> Path | None:
        """The user's QEMU, if `qemu` is not the word for an image. Raises UsageError."""
        return own_qemu(self.qemu)

    def check(self) -> None:
        """Raise UsageError for a name that does not exist, a file that is no QEMU, or one that nobody takes."""
        own_qemu(self.qemu)
        if self.platform:
            platform = find_platform(self.platform)
            if self.own_firmware is None:
                platform.choose_firmware(self.firmware)
        if self.hypervisor:
            find_hypervisor(self.hypervisor)
        own = self.own_kernel
        if own is not None and not own.exists() and "/" not in str(self.kernel):
            columns = all_columns()
            raise UsageError(f"no kernel '{self.kernel}'{suggest(str(self.kernel), columns)}, or name a file")
        reasons = [refusal(one, self) for one in load_hypervisors().values() if self._means(one)]
        if reasons and (first := reasons[0]) is not None and all(reasons):
            raise first

    def _means(self, hypervisor: Hypervisor) -> bool:
        return self.hypervisor in (None, hypervisor.name) and self.platform in (None, *hypervisor.platforms)


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
        others = "".join(f"-{axis}-{value}" for axis, value in sorted(self.axes.items()) if axis != "firmware")
        return f"{self.platform.name}-{self.hypervisor.name}-{self.kernel}{firmware}{others}"

    @property
    def axes(self) -> dict[str, str]:
        """What differs from the defaults of platform and hypervisor, by the names of the options that say so."""
        found = {} if self.firmware == self.platform.default_firmware else {"firmware": self.firmware}
        found |= dict.fromkeys(self.choice.own_files, OWN)
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
        if self.scenario.machine.screen and not self.platform.screen:
            return f"{self.platform.name} has no screen, the scenario is about it"
        if self.scenario.machine.boot == "disk" and self.loader is None:
            return (
                f"{self.platform.name} with {self.firmware} starts no boot loader from a disk, "
                "the scenario is about one"
            )
        if self.scenario.machine.boot == "disk" and self.hypervisor.entry != "kernel":
            return f"QEMU loads {self.hypervisor.name} itself, the scenario is about a disk"
        if lacking := [thing for thing in self.scenario.needs if thing not in self.hypervisor.offers]:
            return f"{self.hypervisor.name} has no {lacking[0]}, the scenario is about it"
        if self.hypervisor.features and self.scenario.feature not in self.hypervisor.features:
            return f"{self.hypervisor.name} is there for {' and '.join(self.hypervisor.features)} alone"
        return None

    @property
    def loader(self) -> str | None:
        """The image of the boot loader by which dom0 boots; None when QEMU loads the kernel, or there is none."""
        on_disk = self.scenario.machine.boot == "disk"
        return self.platform.options(self.firmware).boot_loader if on_disk else None

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
    def sources(self) -> dict[str, str | Path]:
        """What the machine is started with: `kernel`, and perhaps `initrd` and `hypervisor`.

        Images are given by name, files of the user's by path; those of an option go before those of the hypervisor's.
        """
        column, choice = self.hypervisor.column(self.kernel), self.choice
        brought = {"kernel": choice.kernel_for(self.hypervisor), "initrd": choice.own_files.get("initrd")}
        if self.hypervisor.two_files:
            brought["hypervisor"] = choice.own_files.get("hypervisor-image")
        found: dict[str, str | Path] = {}
        for part, source in (("hypervisor", column.hypervisor), ("kernel", column.kernel), ("initrd", column.initrd)):
            if (own := brought.get(part)) is not None:
                found[part] = own
            elif source is not None:
                found[part] = source if isinstance(source, str) else source.file
        return found

    @property
    def images(self) -> list[str]:
        """The names of the images that the cell needs."""
        domu_kernel = self.hypervisor.column(self.kernel).domu_kernel
        needed = [] if self.choice.own_qemu else [self.qemu_image]
        needed += [source for source in self.sources.values() if isinstance(source, str)]
        if domu_kernel:
            needed.append(domu_kernel)
        if self.loader:
            needed.append(self.loader)
        if self.scenario.debugger:
            needed.append(GDB)
        return needed


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
        if not _wanted(hypervisor.name, scenario.hypervisors, choice.hypervisor) or refusal(hypervisor, choice):
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
            own_firmware = choice.own_firmware is not None
            if (
                choice.firmware
                and not own_firmware
                and choice.firmware not in platform.firmware
                and not choice.platform
            ):
                continue
            firmware = OWN if own_firmware else platform.choose_firmware(choice.firmware)
            found += [
                PlannedCell(scenario, platform, hypervisor, kernel, firmware, choice)
                for kernel in _kernels(hypervisor, choice)
            ]
    return found


def _wanted(name: str, limited: Sequence[str] | None, asked: str | None) -> bool:
    return (limited is None or name in limited) and asked in (None, name)


def _kernels(hypervisor: Hypervisor, choice: Choice) -> list[str]:
    if choice.own_kernel is not None:
        return [OWN]
    if choice.kernel is None:
        # A file that is all there is to a column makes all columns the same.
        alone = not hypervisor.two_files and choice.hypervisor_image is not None
        return list(hypervisor.kernels)[-1:] if alone else list(hypervisor.kernels)
    return [choice.kernel] if choice.kernel in hypervisor.kernels else []
