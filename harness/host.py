"""A dom0 as the harness sees it: its simulated machine, and the ports by which its domUs reach us."""

from __future__ import annotations

from dataclasses import dataclass

from harness.verbs import StepFailed
from sim.machine import Machine

# What each domU needs of dom0's virtio-serial ports, by what they carry.
USES = ("console", "command", "qmp", "fate")
DEBUGGER = "gdb"
# The network of a dom0 that its domUs are on.
BRIDGE = "br0"


@dataclass(frozen=True)
class Slot:
    """The ports of one domU's QEMU; one more if it is `debugged`."""

    name: str
    debugged: bool = False

    def port(self, use: str) -> str:
        """Return the name of the virtio-serial port that carries `use`."""
        return f"{self.name}.{use}"

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of all its ports."""
        return tuple(self.port(use) for use in (*USES, *((DEBUGGER,) if self.debugged else ())))


# How many QEMUs may run at once unless a scenario wants more. The machines of all scenarios are alike in this, so that
# they can start from the same template.
SLOTS = 4


def slots_for(domus: int) -> int:
    """Return how many slots a machine gets for so many domUs: one that migrates is there twice for a while."""
    return max(SLOTS, domus + 1)


def make_slots(count: int, *, debugged: bool = False) -> tuple[Slot, ...]:
    """Return the slots of a machine on which `count` QEMUs may run at once."""
    return tuple(Slot(f"slot{number}", debugged) for number in range(1, count + 1))


class Host:
    """One dom0 while it runs: `machine`, and the slots that no domU has taken."""

    def __init__(self, name: str, machine: Machine, slots: tuple[Slot, ...]) -> None:
        self.name = name
        self.machine = machine
        self._free = list(slots)

    def take(self) -> Slot:
        """Return a slot that is nobody's, with nothing left in its ports. Raises StepFailed if there is none."""
        if not self._free:
            raise StepFailed(
                f"{self.name} has no ports left for another domU", hint="name every domU under `domus:` of the scenario"
            )
        slot = self._free.pop(0)
        for port in slot.ports:
            self.machine.drain(port)
        return slot

    @property
    def free(self) -> tuple[str, ...]:
        """The names of the slots that nobody has, in the order in which they will be taken."""
        return tuple(slot.name for slot in self._free)

    def adopt(self, free: tuple[str, ...]) -> dict[str, Slot]:
        """Take over a dom0 that was resumed, where only these slots are free; returns the others by name."""
        slots = {slot.name: slot for slot in self._free}
        self._free = [slots.pop(name) for name in free]
        return slots

    def give_back(self, slot: Slot) -> None:
        """Let another domU have a slot. It comes last, so that what is late in it has time to arrive."""
        self._free.append(slot)
