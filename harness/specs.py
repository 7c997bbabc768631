"""From a planned cell to its run-spec: the images are seen to, and what they are is written down."""

from __future__ import annotations

import random
from collections.abc import Mapping

import images
from base.files import sha256_file
from base.progress import Report, silent
from harness.calibration import host_factor
from harness.kernel import identify
from harness.plan import GDB, PlannedCell
from harness.qemus import OwnQemu, image_version, own_version
from harness.resolve import KERNEL
from harness.runspec import DebuggerImages, ImageRef, OwnFile, RunSpec
from images import Artifact


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
    qemu: Artifact | OwnQemu
    if (program := cell.choice.own_qemu) is not None:
        qemu, version = OwnQemu(program, sha256_file(program)), own_version(program)
        outer: ImageRef | OwnFile = OwnFile(path=program, sha256=qemu.digest)
    else:
        qemu = made[cell.qemu_image]
        version, outer = image_version(qemu), _image(qemu)
    factor = host_factor(qemu, version, report, cell.platform.architecture)
    return RunSpec(
        boots=_image(made[column.hypervisor]) if column.hypervisor else None,
        run=run,
        cell=cell.id(version),
        scenario=cell.scenario,
        platform=cell.platform,
        hypervisor=cell.hypervisor,
        firmware=cell.firmware,
        qemu=outer,
        kernel=kernel,
        kernel_identity=identify(kernel_file, cell.platform.architecture),
        domu_identity=identify(made[column.domu_kernel].file(KERNEL), cell.platform.architecture),
        initrd=_image(made[column.initrd]),
        loader=_image(made[cell.loader]) if cell.loader else None,
        debugger=_debugger(cell, made),
        append=cell.choice.append,
        templates=cell.templates,
        factor=factor.value * cell.platform.pace,
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
