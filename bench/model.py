"""What a benchmark says: measures, each against what is asked, and on which machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field, computed_field

from base.errors import InfraError
from results.model import Record


class BenchFailed(InfraError):
    """A benchmark could not be carried out: what it measures did not work."""


class Measure(Record):
    """One number of a benchmark. `asked` is its limit (None: it is only told), an upper one unless `least`.

    A ratio compares two things of one run, so that neither the host nor its load is in it. `samples` are the numbers
    that it was computed from, by name, in the units that the names end with.
    """

    bench: str
    what: str
    got: float
    unit: str = ""
    asked: float | None = None
    least: bool = False
    note: str = ""
    samples: dict[str, list[float]] = Field(default_factory=dict)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether it is as asked."""
        if self.asked is None:
            return True
        return self.got >= self.asked if self.least else self.got <= self.asked


class Phase(Record):
    """A part of a start: what it is and how many seconds it took (median)."""

    what: str
    seconds: float = Field(ge=0)


class Profile(Record):
    """Where the seconds of one kind of start go, in their order."""

    platform: str
    domain: Literal["dom0", "domU"]
    start: Literal["cold", "warm"]
    phases: tuple[Phase, ...]


class Environment(Record):
    """The machine and the code. `load` is the host's load average (1 min) when the benchmarks began and ended."""

    cpu: str
    cores: int
    memory: int
    system: str
    python: str
    qemu: str
    commit: str
    load: tuple[float, float]


class Report(Record):
    """All that `testbed bench` found out. `failed` are the benchmarks that could not be carried out, and why."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    started: datetime
    elapsed: float
    command: tuple[str, ...]
    environment: Environment
    measures: tuple[Measure, ...]
    profiles: tuple[Profile, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the ratio of two medians. Raises BenchFailed when nothing was measured."""
    if not over or not under or not statistics.median(under):
        raise BenchFailed("nothing was measured")
    return round(statistics.median(over) / statistics.median(under), 4)


def rounded(values: Sequence[float]) -> list[float]:
    """Return samples as they are written down."""
    return [round(value, 4) for value in values]
