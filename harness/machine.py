"""From a run-spec to the machine that its cell starts."""

from __future__ import annotations

from harness.host import Slot, make_slots, slots_for
from harness.resolve import Resolved
from harness.runspec import RunSpec
from sim.spec import MachineSpec


def machine_spec(
    spec: RunSpec, resolved: Resolved, *, args: tuple[str, ...] = (), may_reboot: bool = False
) -> MachineSpec:
    """Return the machine of a cell's dom0, without ports; `resolved` is what the images turned out to be."""
    wanted = spec.scenario.machine
    return MachineSpec(
        platform=spec.platform,
        qemu=resolved.qemu,
        firmware=spec.firmware,
        kernel=resolved.kernel,
        initrd=resolved.initrd,
        append=spec.append,
        hypervisor=resolved.hypervisor,
        hypervisor_args=spec.hypervisor.arguments,
        entry=spec.hypervisor.entry,
        cpus=wanted.cpus or spec.platform.cpus,
        memory=max(wanted.memory, spec.platform.memory),
        args=args,
        may_reboot=may_reboot,
        alarms=spec.hypervisor.alarms,
        bios=resolved.bios,
        screen=wanted.screen,
        accelerator=spec.accelerator,
        joined=len(spec.scenario.hosts) > 1,
    )


def slots_of(spec: RunSpec) -> tuple[Slot, ...]:
    """Return the slots of its domUs: none where nobody could be asked for a domU."""
    count = slots_for(len(spec.scenario.domus)) if spec.platform.consoles.command else 0
    return make_slots(count, debugged=True)


def ports_of(slots: tuple[Slot, ...]) -> tuple[str, ...]:
    """Return the names of all their ports."""
    return tuple(port for slot in slots for port in slot.ports)
