"""In which order cells begin, and what pytest-xdist makes of it."""

from __future__ import annotations

import heapq
import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capacity import OVERHEAD, cores, need
from harness.plan import Choice, PlannedCell, plan
from harness.scenario import load_heads
from harness.schedule import Order, deal


def _cells(*names: str, kernel: str = "fixed", platform: str = "pseries-970") -> list[PlannedCell]:
    heads = {name: head for name, head in load_heads().items() if name in names}
    return plan(heads.values(), Choice(platform=platform, kernel=kernel))


def test_the_largest_first_then_the_longest_and_a_guess_for_what_is_not_known() -> None:
    cells = _cells("dom0-boot", "domu-boot", "virtual-disk", "live-migration-hosts")
    order = Order({"virtual-disk.pseries-970.kvm-pr.fixed": 99.0, "dom0-boot.pseries-970.kvm-pr.fixed": 4.0}, {})
    names = [cell.scenario.name for cell in sorted(cells, key=order.key)]
    assert names == ["virtual-disk", "live-migration-hosts", "domu-boot", "dom0-boot"]
    threads = cells[0].platform.model_copy(update={"cpu_threads": "multi", "cpus": 2})
    cells[0] = replace(cells[0], platform=threads)
    assert sorted(cells, key=order.key)[0] == cells[0]


def test_cells_whose_images_are_there_come_before_longer_ones_that_must_wait() -> None:
    cells = [*_cells("domu-boot"), *_cells("domu-boot", kernel="stock"), *_cells("dom0-boot", kernel="stock")]
    order = Order({}, {"linux-970-fixed": 2, "linux-970-domu-stock": 1})
    found = [f"{cell.scenario.name} {cell.kernel}" for cell in sorted(cells, key=order.key)]
    assert found[-1] == "domu-boot fixed"
    assert Order.unpack(order.pack()).key(cells[0]) == order.key(cells[0])


def test_what_a_cell_takes_follows_from_its_scenario() -> None:
    (cell,) = _cells("dom0-boot")
    assert (need(cell).cpus, need(cell).memory) == (1, 1536 + OVERHEAD)
    (hosts,) = _cells("live-migration-hosts")
    assert (need(hosts).cpus, need(hosts).memory) == (1, 2 * (1536 + OVERHEAD))
    wished = cell.scenario.machine.model_copy(update={"cpus": 4, "memory": 2048})
    larger = replace(cell, scenario=cell.scenario.model_copy(update={"machine": wished}))
    assert need(larger).cpus == 1  # one thread of QEMU's runs all of them
    threads = cell.platform.model_copy(update={"cpu_threads": "multi"})
    larger = replace(larger, platform=threads)
    assert (need(larger, 7.0).cpus, need(larger, 7.0).memory, need(larger, 7.0).cost) == (4, 2048 + OVERHEAD, 7.0)


@pytest.mark.parametrize(("text", "found"), [("100000 100000\n", 1), ("max 100000\n", None), (None, None)])
def test_a_container_s_quota_counts(text: str | None, found: int | None, tmp_path: Path) -> None:
    if text:
        (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path) == (found or cores(Path("/nowhere")))


def _makespan(items: list[float], workers: int) -> float:
    """Run items as pytest-xdist 3 does with `load` and chunks of one; return when the last one ends."""
    queues: list[list[float]] = [[] for _ in range(workers)]
    rest = list(items)
    if len(rest) < 2 * workers:
        for number, item in enumerate(rest):
            queues[number % workers].append(item)
        rest = []
    else:
        for queue in queues:
            queue += [rest.pop(0), rest.pop(0)]
    last = 0.0
    busy = [(queue.pop(0), number) for number, queue in enumerate(queues) if queue]
    heapq.heapify(busy)
    while busy:
        last, number = heapq.heappop(busy)
        if rest:
            queues[number].append(rest.pop(0))
        if queues[number]:
            heapq.heappush(busy, (last + queues[number].pop(0), number))
    return last


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("count", [3, 5, 8, 60])
def test_hardly_longer_than_the_longest_first_could_be(workers: int, count: int) -> None:
    draw = random.Random(count * workers)
    for _ in range(50):
        costs = sorted(draw.choice([4.0, 8.0, 15.0, 40.0, 120.0]) * draw.uniform(0.8, 1.2) for _ in range(count))
        costs.reverse()
        dealt = deal(costs, workers)
        assert sorted(dealt) == sorted(costs)
        assert _makespan(dealt, workers) <= max(_lpt(costs, workers) * 4 / 3, _lpt(costs, workers) + costs[-1] * 2)


def _lpt(costs: list[float], workers: int) -> float:
    ends = [0.0] * workers
    for item in costs:
        heapq.heapreplace(ends, ends[0] + item)
    return max(ends)
