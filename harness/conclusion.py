"""What a run says at its end: its exit code, and a summary of a screen at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from base.errors import EXIT_INFRA
from harness.display import duration
from results.baselines import save_baseline
from results.compare import Comparison, Side, compare, suspects
from results.compared import markdown as compared_markdown
from results.compared import summary
from results.expectations import exit_code, unexpected
from results.model import Summary, Verdict
from results.render import count
from results.sides import side_of_run
from results.store import Run, known_verdicts
from results.stored import Stored
from results.triage import load_references


@dataclass(frozen=True)
class Conclusion:
    """The end of a run. With a baseline, only new failures count (and trouble of ours); else all surprises do."""

    run: Run
    results: tuple[Summary, ...]
    retried: int
    comparison: Comparison | None = None

    @classmethod
    def of(cls, run: Run, stored: Sequence[Stored], baseline: Side | None) -> Self:
        """Conclude a run. Of the baseline only the cells that ran count: a part of the plan is compared as such."""
        comparison = None
        if baseline is not None:
            # A shard knows that the others are elsewhere.
            after = replace(side_of_run(run), notes=())
            kept = {name: one for name, one in baseline.outcomes.items() if name in after.outcomes}
            before = Side(baseline.name, kept, baseline.notes)
            known = known_verdicts(suspects(before, after))
            # The baseline's references judge, also where this run has none of their cells.
            comparison = compare(before, after, known, load_references(), beside=baseline)
        return cls(run, tuple(one.result for one in stored), sum(one.retried for one in stored), comparison)

    @property
    def troubled(self) -> int:
        """How many cells ended with trouble of ours, also at their second attempt."""
        return sum(result.verdict is Verdict.INFRA for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: all as expected, or as in the baseline; 1: the product is not; 3: only trouble of ours."""
        if self.comparison is None:
            return exit_code(self.results)
        return self.comparison.exit_code or (EXIT_INFRA if self.troubled else 0)

    def headline(self) -> str:
        """Return how many cells ran, how long, and how many are not as expected."""
        results = self.results
        elapsed = max(r.started.timestamp() + r.elapsed for r in results) - min(r.started.timestamp() for r in results)
        surprises = len(unexpected(results))
        again = f", {count(self.retried, 'cell')} tried twice" if self.retried else ""
        expected = f"{surprises} not as expected" if surprises else "all as expected"
        return f"{count(len(results), 'cell')} in {duration(elapsed)}{again}, {expected}"

    def text(self) -> str:
        """Return the end of what a run prints."""
        if self.comparison is None:
            return f"{self.headline()}\n"
        return f"{self.headline()}\nbaseline {self.comparison.before.name}: {summary(self.comparison)}"

    def markdown(self, matrix: str) -> str:
        """Return a summary in Markdown, with the matrix folded where there is a comparison to see first."""
        if self.comparison is None:
            return f"### {self.headline()}\n\n{matrix}\n"
        folded = f"<details><summary>all {len(self.results)} cells</summary>\n\n{matrix}\n</details>\n"
        return f"{compared_markdown(self.comparison)}\n{self.headline()}\n\n{folded}\n"

    def save(self, name: str) -> str:
        """Call the run a baseline unless trouble of ours left cells open; returns what to tell."""
        if self.troubled:
            return f"not saved as baseline {name}: {count(self.troubled, 'cell')} ended with trouble of ours"
        save_baseline(name, self.run, self.run.directory.parent.parent)
        return f"saved as baseline {name}"
