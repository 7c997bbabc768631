"""Results as the Test Anything Protocol has them (version 12: `ok N - text`, `not ok N - text`, a plan `1..N`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The plan comes last: it says that the program got to its end.
PLAN = r"(?m)^1\.\.(\d+)\r?\n"
_RESULT = re.compile(r"^(not )?ok (\d+) - (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Results:
    """What a program has claimed: how many claims hold, and the words of those that do not; `planned` is how many."""

    planned: int
    passed: int
    failed: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many of the plan have no result."""
        return self.planned - self.passed - len(self.failed)


def read_results(text: str, planned: int) -> Results:
    """Read the results in what a console has shown. A number that comes twice counts once, by its first result."""
    first: dict[int, tuple[bool, str]] = {}
    for bad, number, claim in _RESULT.findall(text.replace("\r", "")):
        first.setdefault(int(number), (not bad, claim))
    failed = tuple(f"{number}: {claim}" for number, (holds, claim) in sorted(first.items()) if not holds)
    return Results(planned, sum(holds for holds, _ in first.values()), failed)
