"""What `testbed run` does beside its cells: it makes their images, measures the host, and keeps the order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from base.progress import Event, Report
from harness.calibration import host_factor
from harness.capacity import make_pool
from harness.coordinator import Coordinator
from harness.plan import PlannedCell
from harness.qemus import image_version
from images import Artifact, Building
from sim.platform import Architecture

# While images are made, this part of the processors (one in N) is theirs: the compilers take what they get, and
# deadlines count work, so this is only about how soon the first results come.
BUILD_SHARE = 2
# One worker more than can run: it has its Python up, and is the next to begin.
SPARE_WORKERS = 1


@dataclass(frozen=True)
class Side:
    """The address of the coordinator, and how many workers there should be."""

    address: str
    workers: int


@contextmanager
def beside_builds(cells: Sequence[PlannedCell], at_once: int | None, report: Report) -> Iterator[Side]:
    """Make the images of cells that run meanwhile, each as soon as its own are there, at most so many at once.

    Nothing is left running when the block ends, in whichever way.
    """
    simulators = {cell.qemu_image: cell.platform.architecture for cell in cells}

    def ready(artifact: Artifact) -> None:
        if artifact.name in simulators:
            _calibrate(artifact, simulators[artifact.name], report)

    pool = make_pool(at_once)
    names = sorted({name for cell in cells for name in cell.images if not cell.not_applicable})
    workers = min(at_once or pool.cpus + SPARE_WORKERS, len(cells))
    building = Building(names, report, ready=ready, over=lambda: pool.reserve(0))
    pool.reserve(pool.cpus // BUILD_SHARE)
    # In this order: workers wait for images, so the builds end first.
    with Coordinator(pool, building.wait) as coordinator, building:
        yield Side(coordinator.address, workers)


def _calibrate(qemu: Artifact, architecture: Architecture, report: Report) -> None:
    try:
        host_factor(qemu, image_version(qemu), report, architecture)
    except OSError as error:
        # Each cell will say it, as a trouble of ours.
        report(Event("", "notice", f"the host's speed cannot be kept: {error}"))
