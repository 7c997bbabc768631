"""The verb `sched`: what it takes for a share that follows the weight, when the host holds a turn back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from harness.cell import Cell
from harness.steps import tools
from harness.steps.tools import LOOKS, SchedParams, sched
from harness.verbs import StepFailed

PARAMS = SchedParams(less="u1", more="u2")
STARVED, EVEN = (0.05, 3.95), (1.9, 2.1)
# A turn of u2's that the host held back; the scheduler then gives u1 what it missed.
HELD_BACK, MADE_UP = (1.3, 2.7), (2.6, 1.4)


class FakeCell:
    """A cell whose domUs use what CPU time it is told, in one measurement after the other (seconds)."""

    def __init__(self, *used: tuple[float, float]) -> None:
        self.coming = list(used)
        self.weights: list[int] = []
        self.toolstack = self

    def domain(self, name: str) -> str:
        return name

    async def set_weight(self, domain: str, weight: int) -> None:
        self.weights.append(weight)

    async def control(self, domain: str, what: str, work: Awaitable[None], within: float) -> None:
        await work


@pytest.fixture(autouse=True)
def _no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        """Neither bind nor load: there is no domU."""

    async def used(cell: FakeCell, *_: Any) -> tuple[list[float], float]:
        return list(cell.coming.pop(0)), 4.0

    for name in ("bind", "start_loops", "end_loops"):
        monkeypatch.setattr(tools, name, nothing)
    monkeypatch.setattr(tools, "_used", used)


def measured(cell: FakeCell) -> str | None:
    async def step() -> str | None:
        return await sched(cast("Cell", cell), PARAMS)

    return asyncio.run(step())


def test_one_look_is_enough_on_a_calm_host() -> None:
    cell = FakeCell(STARVED, EVEN)
    assert measured(cell) == "u1's share is 0.01 with the least weight, 0.47 with the usual one"
    assert cell.weights == [tools.LEAST_WEIGHT, 0]
    assert not cell.coming


def test_a_turn_that_the_host_held_back_is_made_up_for() -> None:
    told = measured(FakeCell(STARVED, HELD_BACK, MADE_UP))
    assert told == "u1's share is 0.01 with the least weight, 0.49 with the usual one"


@pytest.mark.parametrize(
    ("used", "words"),
    [
        ((*([EVEN] * LOOKS), EVEN), "0.47 with the least weight, 0.47"),
        ((STARVED, *([STARVED] * LOOKS)), "0.01 with the least weight, 0.01"),
        (((0.0, 0.0), *([(0.0, 0.0)] * LOOKS)), "0.00 with the usual one"),
    ],
)
def test_a_share_that_does_not_follow_fails(used: tuple[tuple[float, float], ...], words: str) -> None:
    cell = FakeCell(*used)
    with pytest.raises(StepFailed, match=words):
        measured(cell)
    assert not cell.coming
