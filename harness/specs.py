"""From a planned cell to its run-spec: the images are seen to, and what they are is written down."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import images
from base.errors import InfraError
from base.files import sha256_file
from base.progress import Report, silent
from harness.calibration import host_factor
from harness.kernel import identify
from harness.plan import GDB, PlannedCell
from harness.resolve import KERNEL
from harness.runspec import DebuggerImages, ImageRef, OwnFile, RunSpec
from images import Artifact

QEMU_PACKAGE = "qemu-system-ppc"
# Debian's versions: [epoch:]upstream[+repack][-revision].
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+)")


def qemu_version(artifact: Artifact) -> str:
    """Return the upstream version of the outer QEMU in an image, from its package's. Raises InfraError."""
    for origin in artifact.provenance.inputs:
        if origin.name == QEMU_PACKAGE and (found := _UPSTREAM.match(origin.version)):
            return found[1]
    raise InfraError(f"image {artifact.name} does not record the version of {QEMU_PACKAGE}")


def make_spec(cell: PlannedCell, run: str, report: Report = silent) -> RunSpec:
    """Make sure of the cell's images and return its run-spec. Raises what building an image raises, UsageError."""
    column = cell.hypervisor.column(cell.kernel)
    made = images.ensure(cell.images, report=report)
    own = cell.choice.own_kernel
    if own is not None:
        kernel: ImageRef | OwnFile = OwnFile(path=own, sha256=sha256_file(own))
        kernel_file = own
    else:
        kernel = _image(made[column.kernel])
        kernel_file = made[column.kernel].file(KERNEL)
    qemu = made[cell.hypervisor.qemu]
    version = qemu_version(qemu)
    factor = host_factor(qemu, version, report)
    return RunSpec(
        run=run,
        cell=cell.id(version),
        scenario=cell.scenario,
        platform=cell.platform,
        hypervisor=cell.hypervisor,
        firmware=cell.firmware,
        qemu=_image(qemu),
        kernel=kernel,
        kernel_identity=identify(kernel_file),
        domu_identity=identify(made[column.domu_kernel].file(KERNEL)),
        initrd=_image(made[column.initrd]),
        loader=_image(made[cell.loader]) if cell.loader else None,
        debugger=_debugger(cell, made),
        append=cell.choice.append,
        templates=cell.templates,
        factor=factor.value,
        factor_source=factor.source,
        seed=random.SystemRandom().getrandbits(32),
    )


def _debugger(cell: PlannedCell, made: Mapping[str, Artifact]) -> DebuggerImages | None:
    if not cell.scenario.debugger:
        return None
    kernel = cell.hypervisor.column(cell.kernel).domu_kernel
    return DebuggerImages(gdb=_image(made[GDB]), domu_kernel=_image(made[kernel]))


def _image(artifact: Artifact) -> ImageRef:
    return ImageRef(name=artifact.name, digest=artifact.digest, recipe=artifact.provenance.recipe_digest)
