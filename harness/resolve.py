"""From the images that a run-spec names to the files that are used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import images
from base.errors import InfraError
from base.files import sha256_file
from base.progress import Report, silent
from harness.gdb import Debugger
from harness.hypervisor import KERNEL
from harness.qemus import OwnQemu
from harness.runspec import DebuggerImages, ImageRef, OwnFile, RunSpec
from images import Artifact
from sim.platform import Architecture
from sim.qemu import QemuBinary

QEMU = "usr/bin/qemu-system-{}"
# A PC's firmware is a package of its own.
QEMU_DATA: dict[Architecture, tuple[str, ...]] = {
    "ppc64": ("usr/share/qemu",),
    "x86_64": ("usr/share/qemu", "usr/share/seabios"),
}
GDB = "usr/bin/gdb-multiarch"
GDB_DATA = "usr/share/gdb"
# What an image of a hypervisor calls it: one of its own, or a kernel that stands for one.
HYPERVISORS = ("xen", "hypervisor", KERNEL)
INITRD = "initramfs.cpio"
LOADER = "core.elf"


@dataclass(frozen=True)
class Resolved:
    """What a cell runs with."""

    qemu: QemuBinary
    kernel: Path
    initrd: Path | None = None
    hypervisor: Path | None = None
    loader: Path | None = None
    debugger: Debugger | None = None
    bios: Path | None = None


def resolve(spec: RunSpec, report: Report = silent) -> Resolved:
    """Find, or make, the images of a run-spec. Raises InfraError when what is there is not what was named."""
    return Resolved(
        qemu=_qemu(spec, report),
        kernel=_file(spec.kernel, spec.hypervisor.column(spec.cell.kernel).file, report),
        initrd=_file(spec.initrd, INITRD, report) if spec.initrd else None,
        hypervisor=_hypervisor(spec.boots, report) if spec.boots else None,
        loader=_file(spec.loader, LOADER, report) if spec.loader else None,
        debugger=_debugger(spec.debugger, report) if spec.debugger else None,
        bios=_file(spec.bios, "", report) if spec.bios else None,
    )


def qemu_binary(artifact: Artifact | OwnQemu, version: str, architecture: Architecture = "ppc64") -> QemuBinary:
    """Return the outer QEMU of an image, started with its own loader and firmware files; one's own knows its files."""
    if isinstance(artifact, OwnQemu):
        return QemuBinary((str(artifact.path),), version)
    data = [word for folder in QEMU_DATA[architecture] for word in ("-L", str(artifact.file(folder)))]
    return QemuBinary((*images.tree_command(artifact, QEMU.format(architecture)), *data), version)


def _qemu(spec: RunSpec, report: Report) -> QemuBinary:
    if isinstance(spec.qemu, ImageRef):
        return qemu_binary(_image(spec.qemu, report), spec.cell.qemu, spec.platform.architecture)
    return qemu_binary(OwnQemu(_file(spec.qemu, "", report), spec.qemu.sha256), spec.cell.qemu)


def _debugger(wanted: DebuggerImages, report: Report) -> Debugger:
    tree = _image(wanted.gdb, report)
    return Debugger(
        command=(*images.tree_command(tree, GDB), f"--data-directory={tree.file(GDB_DATA)}"),
        domu_kernel=_image(wanted.domu_kernel, report).file(KERNEL) if wanted.domu_kernel else None,
        # Its Python is the tree's own, and leaves nothing in the tree.
        environment={"PYTHONHOME": str(tree.path / "usr"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _hypervisor(what: ImageRef | OwnFile, report: Report) -> Path:
    if isinstance(what, OwnFile):
        return _file(what, "", report)
    artifact = _image(what, report)
    name = next((name for name in HYPERVISORS if (artifact.path / name).exists()), HYPERVISORS[0])
    return artifact.file(name)


def _file(what: ImageRef | OwnFile, name: str, report: Report) -> Path:
    if isinstance(what, ImageRef):
        return _image(what, report).file(name)
    if not what.path.is_file() or sha256_file(what.path) != what.sha256:
        raise InfraError(
            f"{what.path} is gone or is not the file it was when the run began", hint="start the run again"
        )
    return what.path


def _image(wanted: ImageRef, report: Report) -> Artifact:
    artifact = images.cached(wanted.name)
    if artifact is None:
        artifact = images.ensure([wanted.name], report=report)[wanted.name]
    if artifact.digest != wanted.digest:
        raise InfraError(
            f"image {wanted.name} is {artifact.digest[:12]} here, but the run-spec names {wanted.digest[:12]}",
            hint="a recipe or the compiler changed since the run was planned: plan it again",
        )
    return artifact
