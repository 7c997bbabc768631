"""Cells beside each other under pytest: their order, their turn, and what is said of those that cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.schedule import Order, deal

if TYPE_CHECKING:
    from harness.coordinator import Coordinator
    from harness.plan import PlannedCell
    from results.model import Result

ADDRESS, ORDER, WORKERS = "testbed_coordinator", "testbed_order", "workercount"

_ORDER_KEY = pytest.StashKey[Order]()
_COORDINATOR_KEY = pytest.StashKey["Coordinator"]()


def add_option(group: Any) -> None:
    """Add the option by which `testbed run` names its coordinator."""
    group.addoption("--testbed-coordinator", help="the coordinator that the run has already (default: one of its own)")


def equip(node: Any) -> None:
    """Give a parallel worker what all of the session's workers must agree on."""
    config = node.config
    named = config.getoption("--testbed-coordinator")
    node.workerinput[ADDRESS] = named or _own_coordinator(config).address
    node.workerinput[ORDER] = _order(config).pack()


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of pytest-xdist that hands cells out one by one, in their order."""
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415  (lazy: only a parallel session needs it)

    config.option.maxschedchunk = 1
    return LoadScheduling(config, log)


def arrange(config: pytest.Config, items: list[Any]) -> None:
    """Sort the items of a session, all of them cells, by what they cost."""
    order = _order(config)
    ranked = sorted(items, key=lambda item: order.key(item.cell))
    items[:] = deal(ranked, int(getattr(config, "workerinput", {}).get(WORKERS, 1)))


@contextmanager
def turn(config: pytest.Config, cell: PlannedCell) -> Iterator[None]:
    """Wait until a cell's images are there and there is room for it. Raises InfraError if there never will be."""
    from harness.capacity import need  # noqa: PLC0415  (lazy: the plugin loads with every pytest)
    from harness.coordinator import turn as wait_for_turn  # noqa: PLC0415

    address = getattr(config, "workerinput", {}).get(ADDRESS) or config.getoption("--testbed-coordinator")
    if not address:
        yield  # one cell after the other, which sees to its images itself
        return
    with wait_for_turn(address, cell.images, need(cell, _order(config).costs.get(cell.id().id))):
        yield


def give_up(run: str, cell: PlannedCell, reason: str, directory: Path) -> Result:
    """Write the result of a cell that could not begin for a trouble of ours, and return it."""
    from results.conclude import conclude  # noqa: PLC0415  (lazy: rarely needed)
    from results.expectations import load_expectations  # noqa: PLC0415
    from results.journal import Journal  # noqa: PLC0415

    result = conclude(
        run=run,
        cell=cell.id(),
        declared=len(cell.scenario.prepare) + len(cell.scenario.steps),
        steps=[],
        started=datetime.now(UTC),
        elapsed=0.0,
        facts={},
        expectations=load_expectations(),
        infra=reason,
    )
    with Journal(directory) as journal:
        journal.cell_start(run, cell.id(), [])
        journal.finish(result)
    return result


def stop(config: pytest.Config) -> None:
    """End the session's own coordinator, if it has one."""
    if _COORDINATOR_KEY in config.stash:
        config.stash[_COORDINATOR_KEY].stop()


def _own_coordinator(config: pytest.Config) -> Coordinator:
    from harness.capacity import make_pool  # noqa: PLC0415
    from harness.coordinator import Coordinator  # noqa: PLC0415

    if _COORDINATOR_KEY not in config.stash:
        config.stash[_COORDINATOR_KEY] = made = Coordinator(make_pool())
        made.start()
    return config.stash[_COORDINATOR_KEY]


def _order(config: pytest.Config) -> Order:
    if _ORDER_KEY not in config.stash:
        packed = getattr(config, "workerinput", {}).get(ORDER)
        config.stash[_ORDER_KEY] = Order.unpack(packed) if packed else Order.now()
    return config.stash[_ORDER_KEY]
