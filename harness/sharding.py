"""Which cells of a plan are this machine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from base.errors import UsageError
from harness.plan import PlannedCell
from results.compare import Side
from results.shards import Shard, divide, plan_digest

# Seconds for a step of which no run tells: only the proportion between cells matters.
STEP = 10.0


def take_shard(cells: Sequence[PlannedCell], shard: Shard, costs: Side | None) -> tuple[list[PlannedCell], Shard]:
    """Return the cells of a shard, and the shard with the digest of the division. Raises UsageError if it is empty.

    `costs` tells how long cells took; all machines must be given the same, for they must come to the same division.
    What this host has seen itself is not asked for that reason.
    """
    known = _elapsed(costs)
    usual = median(known.values()) if known else None
    by_name = {cell.id().id: cell for cell in cells}
    parts = divide({name: _cost(cell, known.get(name), usual) for name, cell in by_name.items()}, shard.count)
    mine = set(parts[shard.number - 1])
    if not mine:
        raise UsageError(f"shard {shard} has no cell: there are only {len(cells)}", hint="use fewer shards")
    kept = [cell for name, cell in by_name.items() if name in mine]
    return kept, shard.model_copy(update={"plan": plan_digest(parts)})


def _elapsed(costs: Side | None) -> Mapping[str, float]:
    return {name: one.elapsed for name, one in costs.outcomes.items() if one.elapsed > 0} if costs else {}


def _cost(cell: PlannedCell, known: float | None, usual: float | None) -> float:
    if cell.not_applicable:
        return 0.0
    steps = len(cell.scenario.prepare) + len(cell.scenario.steps)
    return known or usual or steps * STEP
