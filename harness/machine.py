"""From a run-spec to the machine that its cell starts."""

from __future__ import annotations

from pathlib import Path

from harness.host import Slot, make_slots, slots_for
from harness.runspec import RunSpec
from sim.qemu import QemuBinary
from sim.spec import MachineSpec


def machine_spec(
    spec: RunSpec,
    *,
    qemu: QemuBinary,
    kernel: Path,
    initrd: Path | None,
    hypervisor: Path | None = None,
    bios: Path | None = None,
    args: tuple[str, ...] = (),
    may_reboot: bool = False,
) -> MachineSpec:
    """Return the machine of a cell's dom0; the files are what the run-spec's images turned out to be."""
    wanted = spec.scenario.machine
    return MachineSpec(
        platform=spec.platform,
        qemu=qemu,
        firmware=spec.firmware,
        kernel=kernel,
        initrd=initrd,
        append=spec.append,
        hypervisor=hypervisor,
        hypervisor_args=spec.hypervisor.arguments,
        entry=spec.hypervisor.entry,
        cpus=wanted.cpus or spec.platform.cpus,
        memory=max(wanted.memory, spec.platform.memory),
        args=args,
        may_reboot=may_reboot,
        alarms=spec.hypervisor.alarms,
        bios=bios,
        screen=wanted.screen,
    )


def slots_of(spec: RunSpec) -> tuple[Slot, ...]:
    """Return the slots of its domUs: none where nobody could be asked for a domU."""
    count = slots_for(len(spec.scenario.domus)) if spec.platform.consoles.command else 0
    return make_slots(count, debugged=True)


def ports_of(slots: tuple[Slot, ...]) -> tuple[str, ...]:
    """Return the names of all their ports."""
    return tuple(port for slot in slots for port in slot.ports)
