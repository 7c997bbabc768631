"""In which order cells begin: those whose images are there first, of these the largest and the longest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from harness.plan import PlannedCell

T = TypeVar("T")


class Order:
    """What decides the order, the same for all workers of a session: it can cross to another process.

    `costs` are seconds by cell, as they were before; `late` are the images that are not there yet, by the place that
    they have among those to build.
    """

    def __init__(self, costs: Mapping[str, float], late: Mapping[str, int]) -> None:
        self.costs = dict(costs)
        self.late = dict(late)

    @classmethod
    def now(cls) -> Order:
        """Read the timings and look at the cache of images. Raises what reading the recipes raises."""
        import images  # noqa: PLC0415  (lazy: the plugin loads with every pytest)
        from results.timings import all_whole  # noqa: PLC0415

        names = images.build_order(images.load_catalogue().names)
        return cls(all_whole(), {name: place for place, name in enumerate(names, 1)})

    @classmethod
    def unpack(cls, packed: tuple[dict[str, float], dict[str, int]]) -> Order:
        """Return what `pack` was called on."""
        return cls(*packed)

    def pack(self) -> tuple[dict[str, float], dict[str, int]]:
        """Return it as plain values."""
        return self.costs, self.late

    def cost(self, cell: PlannedCell) -> float:
        """Return how long a cell will take, in seconds, by what is known or by a guess."""
        from harness.capacity import need  # noqa: PLC0415

        return 0.0 if cell.not_applicable else need(cell, self.costs.get(cell.id().id)).cost

    def key(self, cell: PlannedCell) -> tuple[int, int, float]:
        """Return what cells are sorted by.

        Those that take several processors come before longer ones: they would keep a processor idle later, while they
        wait for the others.
        """
        from harness.capacity import need  # noqa: PLC0415

        ready = max((self.late.get(name, 0) for name in cell.images), default=0)
        return (0 if cell.not_applicable else ready), -need(cell).cpus, -self.cost(cell)


def deal(items: Sequence[T], workers: int) -> list[T]:
    """Rearrange sorted items for pytest-xdist's `load` scheduler with chunks of one.

    A worker has always one item more than it runs, because pytest must know the next one. At first `load` gives
    neighbours to each worker, or, when there are fewer than two for each, deals them out in turn; the longest would
    sit together. So whoever gets a long one first must have a short one behind it.
    """
    found = list(items)
    if workers < 2 or len(found) <= workers:
        return found
    first, second = found[:workers], found[workers : 2 * workers]
    if len(second) == workers:
        pairs = zip(first, reversed(second), strict=True)
        return [item for pair in pairs for item in pair] + found[2 * workers :]
    return [*reversed(first), *second]
