"""The command that runs a cell again, and what it was made from, read from its run-spec."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pydantic import Field

from results.inputs import SPEC
from results.model import OWN, CellId, Record
from results.page.evidence import Evidence


class Image(Record):
    """An image by name and digest, or a file of the user's by path and SHA-256."""

    name: str = ""
    digest: str = ""
    path: str = ""
    sha256: str = ""


class _Scenario(Record):
    summary: str = ""


class _Hypervisor(Record):
    folder: str | None = None


class SpecView(Record):
    """Those parts of a run-spec that a reader wants to see."""

    scenario: _Scenario = Field(default_factory=_Scenario)
    hypervisor: _Hypervisor = Field(default_factory=_Hypervisor)
    qemu: Image | None = None
    kernel: Image | None = None
    initrd: Image | None = None
    loader: Image | None = None
    boots: Image | None = None
    bios: Image | None = None
    append: str = ""
    factor: float = 1.0

    def images(self) -> dict[str, str]:
        """Return what images are called, by the name of the input that is their digest."""
        named = {
            "qemu": self.qemu,
            "kernel": self.kernel,
            "initrd": self.initrd,
            "loader": self.loader,
            "hypervisor": self.boots,
            "firmware": self.bios,
        }
        return {f"{part}.image": image.name or image.path for part, image in named.items() if image is not None}

    def brought(self, option: str) -> Image | None:
        """Return what the user gave with an option, if that is a file."""
        given = {
            "qemu": self.qemu,
            "initrd": self.initrd,
            "dom0": self.kernel,
            "firmware": self.bios,
            "hypervisor-image": self.boots or self.kernel,
        }
        image = given.get(option)
        return image if image and image.path else None


@dataclass(frozen=True)
class Rerun:
    """A command line for a shell, and what it needs that no command can give ("" if nothing)."""

    command: str
    needs: str = ""


def read_spec_view(evidence: Evidence) -> SpecView | None:
    """Read the run-spec of a result directory; None if there is none, or it is damaged (the page tells)."""
    excerpt = evidence.read(SPEC)
    try:
        return None if excerpt is None else SpecView.model_validate_json(excerpt.joined())
    except ValueError:
        return None


def rerun(cell: CellId, spec: SpecView | None) -> Rerun:
    """Return how to run exactly this cell again."""
    words = ["./testbed", "run", cell.scenario, "-p", cell.platform, "-H", cell.hypervisor]
    if spec and spec.hypervisor.folder:
        words += ["--hypervisors", spec.hypervisor.folder]
    needs: list[str] = []
    if cell.kernel == OWN:
        own = spec.kernel if spec else None
        words += ["-k", own.path if own and own.path else "./vmlinux"]
        needs.append(f"the kernel with SHA-256 {own.sha256}" if own and own.sha256 else "the same kernel")
    else:
        words += ["-k", cell.kernel]
    for name, value in sorted(cell.axes.items()):
        file = spec.brought(name) if spec and value == OWN else None
        words += [f"--{name}", file.path if file else value]
        if file and file.sha256:
            called = {"qemu": "QEMU"}.get(name, name)
            needs.append(f"the {called} with SHA-256 {file.sha256}")
    if spec and spec.append:
        words.append(f"--append={spec.append}")
    factor = f"TESTBED_FACTOR={spec.factor:g} " if spec and spec.factor != 1 else ""
    return Rerun(factor + shlex.join(words), ", and ".join(needs))
