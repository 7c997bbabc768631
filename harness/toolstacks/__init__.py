"""What creates and steers domUs from dom0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from base.errors import UsageError
from base.yamlmodel import suggest
from harness.domain import Domain, DomainConfig

if TYPE_CHECKING:
    from harness.cell import Cell


class Toolstack(Protocol):
    """What every toolstack can do. Waits are bounded by the step that calls."""

    async def ready(self, cell: Cell) -> str:
        """Ask the hypervisor through the toolstack whether it is there; returns its words. Raises StepFailed."""
        ...

    async def create(self, cell: Cell, config: DomainConfig) -> Domain:
        """Start a domU and open its channels. Raises StepFailed, DomainEnded."""
        ...


def find_toolstack(name: str) -> Toolstack:
    """Return a toolstack by name. Raises UsageError."""
    from harness.toolstacks.qemu import QemuToolstack  # noqa: PLC0415  (imports this module)

    known = {"qemu": QemuToolstack}
    if name not in known:
        raise UsageError(f"no toolstack '{name}'{suggest(name, list(known))}")
    return known[name]()
