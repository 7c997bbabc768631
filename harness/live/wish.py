"""What a person asks of a live machine, and the cell that it amounts to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from base.errors import UsageError
from base.yamlmodel import suggest
from harness.bring import check_files
from harness.choosing import add_options, count, given
from harness.hypervisor import load_hypervisors, use_folders
from harness.live.devices import Devices
from harness.plan import Choice, PlannedCell, plan
from harness.runspec import OwnFile, RunSpec
from harness.scenario import Scenario, load_scenario
from sim.platform import find_platform, load_platforms

SCENARIOS = Path(__file__).parent / "scenarios"
DOMU = "u1"
ALONE, WITH_DOMU = "boot", "boot-domu"


@dataclass(frozen=True)
class Wish:
    """A machine as a person wants it. `cpus` and `memory` (MiB) are the platform's own if they are 0.

    `domu` has one running, `debugger` a gdb at hand; one that is `cold` is booted, whatever templates there are; with
    a `screen` its kernel's log is there too. `own` is a scenario whose preparation it has, in place of those.
    """

    platform: str
    choice: Choice
    domu: bool = False
    cpus: int = 0
    memory: int = 0
    cold: bool = False
    debugger: bool = False
    screen: bool = False
    devices: Devices = field(default_factory=Devices)
    own: Scenario | None = None

    @property
    def scenario(self) -> Scenario:
        """What is done before the person has the machine."""
        found = self.own or load_scenario(SCENARIOS / f"{WITH_DOMU if self.domu else ALONE}.yaml")
        wanted: dict[str, object] = {"debugger": self.debugger or found.debugger}
        if self.screen:
            wanted["machine"] = found.machine.model_copy(update={"screen": True})
        return found.model_copy(update=wanted)

    def plan(self) -> PlannedCell:
        """Return the cell of the machine: of several kernels the last, of the first hypervisor that there is.

        Raises UsageError for what does not exist or cannot be.
        """
        platform = find_platform(self.platform)
        if self.cpus > platform.max_cpus:
            many = "s" if platform.max_cpus > 1 else ""
            raise UsageError(f"{platform.name} has at most {platform.max_cpus} CPU{many}, not {self.cpus}")
        if self.screen and not platform.screen:
            able = [each.name for each in load_platforms().values() if each.screen]
            raise UsageError(f"{platform.name} has no screen", hint=f"these have: {', '.join(able)}")
        self.choice.check()
        if self.choice.initrd is not None and self.domu:
            raise UsageError("--domu needs the test bed's own initramfs", hint="leave out --initrd or --domu")
        if self.own is not None and platform.name not in (self.own.platforms or [platform.name]):
            raise UsageError(f"{self.own.name} is not about {platform.name}, but {', '.join(self.own.platforms or ())}")
        cell = _choose(plan([self.scenario], self.choice), self.platform, self.choice)
        if (reason := cell.not_applicable) is not None:
            raise UsageError(f"{cell.id().id}: {reason}")
        if self.domu and cell.hypervisor.toolstack is None:
            raise UsageError(f"{cell.hypervisor.name} has no toolstack, so no domU can be made")
        wanted = {"cpus": self.cpus or platform.cpus, "memory": self.memory or platform.memory}
        cell = replace(cell, platform=cell.platform.model_copy(update=wanted))
        check_files([cell])
        return cell

    def adapt(self, spec: RunSpec) -> RunSpec:
        """Return the run-spec for a live machine: one with more devices than its template has to be booted."""
        cold = self.cold or bool(self.devices) or not answers(spec)
        return spec.model_copy(update={"templates": "none"}) if cold else spec


def answers(spec: RunSpec) -> bool:
    """Whether somebody of ours is in dom0, who can be asked: not in an initramfs of the user's."""
    ours = not isinstance(spec.initrd, OwnFile) and spec.hypervisor.toolstack is not None
    return ours and bool(spec.platform.consoles.command)


def add_arguments(parser: argparse.ArgumentParser, *, domu: bool = True) -> None:
    """Add the options of a live machine to a command's parser; `wish` reads them.

    `domu` says whether it is for the user to ask for one.
    """
    add_options(parser, leave_out=["platform"])
    if domu:
        parser.add_argument("--domu", action="store_true", help="have a domU running as well")
    else:
        parser.set_defaults(domu=False)
    parser.add_argument("--smp", type=count, default=0, metavar="N", help="CPUs of the machine")
    parser.add_argument("--mem", type=count, default=0, metavar="MIB", help="memory of the machine")
    parser.add_argument("--screen", action="store_true", help="a screen, in a window or for a VNC viewer")
    parser.add_argument("--cold", action="store_true", help="boot it: start from no template, and leave none")
    Devices.add_arguments(parser)


def wish(options: argparse.Namespace, *, debugger: bool = False) -> Wish:
    """Return what the options say. Raises UsageError."""
    use_folders(options.hypervisors)
    chosen = {**given(partial(getattr, options)), "platform": options.platform}
    return Wish(
        platform=options.platform,
        choice=Choice(**chosen),
        domu=options.domu,
        cpus=options.smp,
        memory=options.mem,
        cold=options.cold,
        debugger=debugger,
        screen=options.screen,
        devices=Devices.of(options),
    )


def _choose(cells: Sequence[PlannedCell], platform: str, choice: Choice) -> PlannedCell:
    there = [hypervisor for hypervisor in load_hypervisors().values() if platform in hypervisor.platforms]
    names = [hypervisor.name for hypervisor in there]
    if choice.hypervisor and choice.hypervisor not in names:
        raise UsageError(f"{choice.hypervisor} does not run on {platform}{suggest(choice.hypervisor, names)}")
    if not cells:
        known = [name for hypervisor in there for name in hypervisor.kernels]
        raise UsageError(f"{platform} has no kernel '{choice.kernel}'{suggest(choice.kernel or '', known)}")
    return [cell for cell in cells if cell.hypervisor.name == cells[0].hypervisor.name][-1]
