"""What a cell knows of its domains at the moment its machine is saved: so much of it goes with a template."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from base.errors import TestbedError
from base.yamlmodel import Model
from harness.cell import Cell
from harness.domain import Disk, DomainConfig
from results.model import Scalar
from sim.platform import DOM0

_JSON: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue], config=ConfigDict(strict=True))


class CannotBeKept(TestbedError):
    """The cell knows something that cannot be written down."""


class FrozenDomain(Model):
    """A running domU: what it was given, the slot it has, and how many processes it has had."""

    config: DomainConfig
    slot: str
    processes: int


class Frozen(Model):
    """A cell's knowledge of its dom0. `free` are the slots that nobody has, `facts` what steps recorded so far."""

    domains: tuple[FrozenDomain, ...]
    disks: dict[str, Disk]
    free: tuple[str, ...]
    notes: dict[str, Any]
    facts: dict[str, Scalar]


def freeze(cell: Cell, facts: dict[str, Scalar]) -> Frozen:
    """Write down what a cell knows. Raises CannotBeKept for a note that is no JSON."""
    try:
        notes = _JSON.validate_python(cell.notes)
    except ValidationError as error:
        raise CannotBeKept(f"a step's note cannot be kept: {error.errors()[0]['loc']}") from error
    return Frozen(
        domains=tuple(
            FrozenDomain(config=domain.config, slot=domain.slot.name, processes=cell.incarnations[name])
            for name, domain in cell.domains.items()
        ),
        disks=cell.disks,
        free=cell.host(DOM0).free,
        notes=notes,
        facts=facts,
    )


async def thaw(cell: Cell, frozen: Frozen, seconds: float) -> None:
    """Let a cell whose dom0 was resumed know it again: its disks, and its domUs, which run. Raises as `Cell.wait`."""
    host = cell.host(DOM0)
    slots = host.adopt(frozen.free)
    cell.disks.update(frozen.disks)
    cell.notes.update(frozen.notes)
    for name, value in frozen.facts.items():
        cell.fact(name, value)
    for known in frozen.domains:
        name = known.config.name
        # Their consoles go on in the files of the processes that were saved.
        cell.incarnations[name] = known.processes - 1
        work = cell.toolstack.adopt(cell, known.config, host, slots[known.slot])
        cell.domains[name] = await cell.wait(f"{name}'s QEMU answers", work, seconds)
