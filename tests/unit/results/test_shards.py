"""Parts of a plan: every cell once, the same wherever it is done, about equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import UsageError
from results.shards import Shard, divide, missing, plan_digest

# Many of the same, for it is among those that an order can differ.
SECONDS = st.sampled_from([0.0, 30.0, 30.0]) | st.floats(0, 1000)
COSTS = st.dictionaries(st.text("abc", min_size=1, max_size=4), SECONDS, max_size=30)


@given(COSTS, st.integers(1, 8), st.randoms())
def test_shards_are_disjoint_whole_and_the_same_everywhere(costs: dict[str, float], count: int, chance: object) -> None:
    parts = divide(costs, count)
    assert sorted(name for part in parts for name in part) == sorted(costs)
    shuffled = list(costs.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert divide(dict(shuffled), count) == parts
    assert plan_digest(divide(dict(shuffled), count)) == plan_digest(parts)


@given(COSTS.filter(bool), st.integers(1, 8))
def test_shards_are_balanced(costs: dict[str, float], count: int) -> None:
    loads = [sum(costs[name] for name in part) for part in divide(costs, count)]
    # The bound of longest-processing-time-first, against what no division can beat.
    dearest = max(costs.values())
    best = max(sum(costs.values()) / count, dearest)
    assert max(loads) <= best * (2 - 1 / count) + 1e-6
    assert max(loads) - min(loads) <= dearest + 1e-6


def test_cells_of_unknown_cost_are_dealt_out() -> None:
    assert divide({"a": 0, "b": 0, "c": 0, "d": 0}, 2) == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2", "1/2/3", "1 /2"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="is no shard"):
        Shard.parse(text)


def test_a_shard_survives_the_facts_of_its_run() -> None:
    shard = Shard(number=2, count=3, plan="p")
    assert Shard.of(shard.facts()) == shard
    assert Shard.of({}) is None


@pytest.mark.parametrize(
    ("numbers", "plans", "said"),
    [
        ([], "", []),
        ([1, 2, 3], "aaa", []),
        ([1, 3], "aa", ["shard 2 of 3 is missing"]),
        ([1, 2, 3], "aab", ["the 3 shards are not of one plan: cells may be missing, or be there twice"]),
    ],
)
def test_what_shards_are_not_a_whole(numbers: list[int], plans: str, said: list[str]) -> None:
    shards = [Shard(number=number, count=3, plan=plan) for number, plan in zip(numbers, plans, strict=True)]
    assert missing(shards) == said
