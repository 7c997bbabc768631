"""From a planned cell to its run-spec: the images are seen to, and what they are is written down."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import images
from base.files import sha256_file
from base.progress import Report, silent
from harness.acceleration import accelerated
from harness.calibration import host_factor
from harness.hypervisor import KERNEL, RELEASE
from harness.kernel import KernelIdentity, identify, identify_hypervisor
from harness.plan import GDB, PlannedCell
from harness.qemus import OwnQemu, image_version, own_version
from harness.runspec import DebuggerImages, ImageRef, OwnFile, RunSpec
from images import Artifact


def make_spec(cell: PlannedCell, run: str, report: Report = silent) -> RunSpec:
    """Make sure of the cell's images and return its run-spec. Raises what building an image raises, UsageError."""
    made = images.ensure(cell.images, report=report)
    used = {part: _used(source, made) for part, source in cell.sources.items()}
    kernel, domu_kernel = cell.sources["kernel"], cell.hypervisor.column(cell.kernel).domu_kernel
    kernel_file = kernel if isinstance(kernel, Path) else made[kernel].file(cell.hypervisor.column(cell.kernel).file)
    firmware = cell.choice.own_firmware
    qemu: Artifact | OwnQemu
    if (program := cell.choice.own_qemu) is not None:
        qemu, version = OwnQemu(program, sha256_file(program)), own_version(program)
        outer: ImageRef | OwnFile = OwnFile(path=program, sha256=qemu.digest)
    else:
        qemu = made[cell.qemu_image]
        version, outer = image_version(qemu), _image(qemu)
    factor = host_factor(qemu, version, report, cell.platform.architecture)
    spec = RunSpec(
        run=run,
        cell=cell.id(version),
        scenario=cell.scenario,
        platform=cell.platform,
        hypervisor=cell.hypervisor,
        firmware=cell.firmware,
        qemu=outer,
        boots=used.get("hypervisor"),
        kernel=used["kernel"],
        kernel_identity=_identity(cell, kernel_file, made),
        domu_identity=identify(made[domu_kernel].file(KERNEL), cell.platform.architecture) if domu_kernel else None,
        initrd=used.get("initrd"),
        loader=_image(made[cell.loader]) if cell.loader else None,
        bios=_own(firmware) if firmware else None,
        debugger=_debugger(cell, made),
        append=cell.choice.append,
        templates=cell.templates,
        factor=factor.value * cell.platform.pace,
        factor_source=factor.source,
        seed=random.SystemRandom().getrandbits(32),
    )
    return accelerated(spec, report)


def _debugger(cell: PlannedCell, made: Mapping[str, Artifact]) -> DebuggerImages | None:
    if not cell.scenario.debugger:
        return None
    kernel = cell.hypervisor.column(cell.kernel).domu_kernel
    return DebuggerImages(gdb=_image(made[GDB]), domu_kernel=_image(made[kernel]) if kernel else None)


def _used(source: str | Path, made: Mapping[str, Artifact]) -> ImageRef | OwnFile:
    return _own(source) if isinstance(source, Path) else _image(made[source])


def _own(path: Path) -> OwnFile:
    return OwnFile(path=path, sha256=sha256_file(path))


def _identity(cell: PlannedCell, file: Path, made: Mapping[str, Artifact]) -> KernelIdentity:
    """Return which kernel the machine is started with; of a hypervisor's release only its image knows."""
    if cell.hypervisor.entry not in ("linked-in", "none"):
        return identify(file, cell.platform.architecture)
    kernel = cell.sources["kernel"]
    return identify_hypervisor(file, made[kernel].file(RELEASE).read_text().strip() if isinstance(kernel, str) else "")


def _image(artifact: Artifact) -> ImageRef:
    return ImageRef(name=artifact.name, digest=artifact.digest, recipe=artifact.provenance.recipe_digest)
