"""Shards of a plan: disjoint parts for several machines, the same on each, balanced by what is known of the cost."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from base.errors import UsageError
from base.files import sha256_bytes
from results.model import Record, Scalar

_WORDS = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


class Shard(Record):
    """Part `number` (from 1) of `count`; `plan` is a digest of the whole division, equal on all machines."""

    number: int
    count: int
    plan: str = ""

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/3`. Raises UsageError."""
        found = _WORDS.fullmatch(text)
        if found is None or int(found[1]) > int(found[2]):
            raise UsageError(f"'{text}' is no shard", hint="1/3, 2/3 and 3/3 are the three of three")
        return cls(number=int(found[1]), count=int(found[2]))

    @classmethod
    def of(cls, facts: Mapping[str, Scalar]) -> Shard | None:
        """Return the shard that a run's facts name, None if it was a whole run."""
        text, plan = facts.get("shard"), facts.get("shard.plan")
        return cls.parse(str(text)).model_copy(update={"plan": str(plan or "")}) if text else None

    def facts(self) -> dict[str, Scalar]:
        """Return the facts of a run that is this shard."""
        return {"shard": str(self), "shard.plan": self.plan}


def divide(costs: Mapping[str, float], count: int) -> list[list[str]]:
    """Divide cells (name -> cost in seconds) into `count` parts of about equal cost, the same wherever it is done.

    The dearest cell first, each to the part that has least so far: no part is more than a third above the best that is
    possible (Graham 1969, longest processing time first).
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        least = min(range(count), key=lambda number: (loads[number], len(parts[number]), number))
        parts[least].append(name)
        loads[least] += costs[name]
    return [sorted(part) for part in parts]


def plan_digest(parts: Sequence[Sequence[str]]) -> str:
    """Return a digest of a division."""
    return sha256_bytes("\n\n".join("\n".join(part) for part in parts).encode())


def missing(shards: Iterable[Shard]) -> list[str]:
    """Return a line for each thing that keeps shards from being one whole: one is missing, or they do not fit."""
    by_count: dict[int, dict[int, str]] = defaultdict(dict)
    for shard in shards:
        by_count[shard.count][shard.number] = shard.plan
    notes: list[str] = []
    for count, found in sorted(by_count.items()):
        if absent := [str(number) for number in range(1, count + 1) if number not in found]:
            notes.append(f"shard {', '.join(absent)} of {count} is missing")
        if len(set(found.values())) > 1:
            notes.append(f"the {count} shards are not of one plan: cells may be missing, or be there twice")
    return notes
