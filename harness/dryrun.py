"""What a run would do: its cells, what must be built for them first, and the command line of each machine."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import images
from harness.kernel import KernelIdentity
from harness.live.standalone import machine_of, standalone
from harness.plan import PlannedCell
from harness.qemus import image_version
from harness.resolve import HYPERVISORS, INITRD, QEMU, Resolved, qemu_binary
from harness.runspec import ImageRef, RunSpec
from images import Artifact
from sim.qemu import QemuBinary

Expected = Callable[[str], float | None]


def dry_run(cells: Sequence[PlannedCell], expected: Expected) -> Iterator[str]:
    """Yield the lines of the plan; nothing is built or started. `expected` are the seconds that a cell took before."""
    known = [seconds for cell in cells if (seconds := expected(cell.id().id)) is not None]
    yield f"{len(cells)} cells; {len(known)} have run here before, for {sum(known):.0f} s one after another"
    lacking = images.build_order(dict.fromkeys(name for cell in cells for name in _images(cell)))
    yield f"images to build first: {', '.join(lacking) or 'none'}"
    for cell in cells:
        name = cell.id().id
        yield ""
        if (reason := cell.not_applicable) is not None:
            yield f"# {name}: n/a, {reason}"
            continue
        seconds = expected(name)
        took = "never timed here" if seconds is None else f"{seconds:.1f} s before"
        start = "cold" if cell.templates == "none" else "from a template, if there is one"
        yield f"# {name}: {start}; {took}"
        if cell.loader is not None:
            yield "# (dom0's kernel and initramfs are put on a disk, from which it boots)"
        if len(cell.scenario.hosts) > 1:
            yield f"# ({len(cell.scenario.hosts)} such machines, joined by a network)"
        yield shlex.join(command(cell))


def command(cell: PlannedCell) -> list[str]:
    """Return the command line of a cell's machine, its console on the terminal; `IMAGE:` begins what is not built."""
    sources = cell.sources
    column = cell.hypervisor.column(cell.kernel)
    image = ImageRef(name="", digest="")
    spec = RunSpec(
        run="",
        cell=cell.id(),
        scenario=cell.scenario,
        platform=cell.platform,
        hypervisor=cell.hypervisor,
        firmware=cell.firmware,
        qemu=image,
        kernel=image,
        kernel_identity=KernelIdentity(release="", build_id=""),
        append=cell.choice.append,
        seed=0,
    )
    resolved = Resolved(
        qemu=_qemu(cell),
        kernel=_file(sources["kernel"], (column.file,)),
        initrd=_file(sources["initrd"], (INITRD,)) if "initrd" in sources else None,
        hypervisor=_file(sources["hypervisor"], HYPERVISORS) if "hypervisor" in sources else None,
        bios=cell.choice.own_firmware,
    )
    return [*resolved.qemu.command, *standalone(machine_of(spec, resolved))]


@functools.cache
def _cached(name: str) -> Artifact | None:
    return images.cached(name)


def _images(cell: PlannedCell) -> Iterable[str]:
    return () if cell.not_applicable else cell.images


def _qemu(cell: PlannedCell) -> QemuBinary:
    if (own := cell.choice.own_qemu) is not None:
        return QemuBinary((str(own),), "")
    artifact = _cached(cell.qemu_image)
    if artifact is None:
        return QemuBinary((f"IMAGE:{cell.qemu_image}/{QEMU.format(cell.platform.architecture)}",), "")
    return qemu_binary(artifact, image_version(artifact), cell.platform.architecture)


def _file(source: str | Path, names: Sequence[str]) -> Path:
    """Return the file of an image that has one of the names, or the user's own."""
    if isinstance(source, Path):
        return source
    artifact = _cached(source)
    if artifact is None:
        return Path(f"IMAGE:{source}") / names[0]
    return artifact.file(next((name for name in names if (artifact.path / name).exists()), names[0]))
