"""Verbs of the hypervisor and its toolstack."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.cell import Cell
from harness.domain import DomainConfig
from harness.verbs import Seconds, StepFailed, StepParams, verb


class ReadyParams(StepParams):
    """Parameters of `hypervisor-ready`."""

    within: Seconds = 60.0


class CreateParams(StepParams):
    """Parameters of `create`: memory in MiB (default: the hypervisor's), vCPUs, more kernel arguments."""

    domain: str
    memory: Annotated[int, Field(gt=0)] | None = None
    vcpus: Annotated[int, Field(gt=0)] = 1
    append: str = ""
    within: Seconds = 60.0


@verb("hypervisor-ready")
async def hypervisor_ready(cell: Cell, params: ReadyParams) -> str:
    """Let dom0's toolstack open the hypervisor."""
    return await cell.wait("the hypervisor is ready", cell.toolstack.ready(cell), params.within)


@verb("create", shorthand="domain")
async def create(cell: Cell, params: CreateParams) -> str:
    """Create a domU: the toolstack starts it, and its control channel answers."""
    if params.domain in cell.domains:
        raise StepFailed(f"{params.domain} was created already")
    config = DomainConfig(
        name=params.domain,
        memory=params.memory or cell.hypervisor.domu.memory,
        vcpus=params.vcpus,
        append=params.append,
    )
    what = f"{params.domain} is created"
    cell.domains[params.domain] = await cell.wait(what, cell.toolstack.create(cell, config), params.within)
    return f"{config.memory} MiB, {config.vcpus} vCPU"
