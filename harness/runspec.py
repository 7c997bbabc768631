"""The run-spec: everything that a worker needs to execute one cell, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from base.errors import InfraError
from base.yamlmodel import Model
from harness.hypervisor import Hypervisor
from harness.kernel import KernelIdentity
from harness.scenario import Scenario
from results.model import CellId
from sim.platform import Accelerator, Platform

FILE = "run-spec.json"
Templates = Literal["none", "use", "make"]


class ImageRef(Model):
    """An image by name and digest; the worker finds it in its cache, or makes it and compares.

    `recipe` is the digest of what made it ("": not recorded), for those who ask later what changed.
    """

    name: str
    digest: str
    recipe: str = ""


class OwnFile(Model):
    """A file of the user's, by path and SHA-256."""

    path: Path
    sha256: str

    @property
    def digest(self) -> str:
        """What tells it from others, as an image's digest does."""
        return self.sha256


class DebuggerImages(Model):
    """The images of gdb and of the domU's kernel, for its symbols (None: there is no domU)."""

    gdb: ImageRef
    domu_kernel: ImageRef | None = None


class RunSpec(Model):
    """One cell, self-contained: the same file runs here, in a parallel worker or on another machine.

    `boots` is the hypervisor where it is not `kernel`; where there is no toolstack there is no `domu_identity`.
    `loader` is the boot loader of the disk that dom0 boots from (None: QEMU loads the kernel), `bios` a firmware of the
    user's (None: the platform's, by the name `firmware`). `templates` says whether the cell may start from one (`use`),
    and leave some as well (`make`). `factor` scales all deadlines (1: the host and a platform on which they were set;
    `factor_source` says how the host's part is known). `accelerator` runs dom0's machine (`accelerator_why`: what
    speaks against a better one, or who decided). `seed` is for whatever a step draws.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    cell: CellId
    scenario: Scenario
    platform: Platform
    hypervisor: Hypervisor
    firmware: str
    qemu: ImageRef | OwnFile
    boots: ImageRef | OwnFile | None = None
    kernel: ImageRef | OwnFile
    kernel_identity: KernelIdentity
    domu_identity: KernelIdentity | None = None
    initrd: ImageRef | OwnFile | None = None
    loader: ImageRef | OwnFile | None = None
    bios: OwnFile | None = None
    debugger: DebuggerImages | None = None
    append: str = ""
    templates: Templates = "none"
    factor: float = Field(default=1.0, gt=0)
    factor_source: str = ""
    accelerator: Accelerator = "tcg"
    accelerator_why: str = ""
    seed: int

    @property
    def steps_declared(self) -> int:
        """How many steps the cell has, preparation included."""
        return len(self.scenario.prepare) + len(self.scenario.steps)


def read_spec(path: Path) -> RunSpec:
    """Read a run-spec. Raises InfraError when it is missing, damaged or of a newer version."""
    try:
        return RunSpec.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InfraError(f"cannot read the run-spec {path}: {error}", hint="run the cell again") from error
