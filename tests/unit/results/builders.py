"""Short ways to write cells, steps and results."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from results.conclude import conclude
from results.expectations import Expectations
from results.journal import Journal
from results.model import CellId, Result, Section, StepPlan, StepResult, Verdict
from results.seal import SealState
from results.store import Run, Stored

NOW = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)
TODAY = date(2026, 11, 22)
LETTERS = {"p": Verdict.PASS, "f": Verdict.FAIL, "t": Verdict.TIMEOUT, "i": Verdict.INFRA, "s": Verdict.SKIP}


def cell(**changes: Any) -> CellId:
    given = {"feature": "domu-boot", "scenario": "domu-boot", "platform": "g5", "hypervisor": "kvm-pr"}
    return CellId.model_validate({**given, "qemu": "10.0.13", "firmware": "openbios", **changes})


def steps(letters: str) -> list[StepResult]:
    """`"pp|pf"`: two steps of preparation that passed, then two of the feature, the second failed."""
    prepare, _, feature = letters.partition("|")
    sections: list[tuple[Section, str]] = [("prepare", letter) for letter in prepare]
    sections += [("feature", letter) for letter in feature]
    return [
        StepResult(index=index, section=section, verb=f"verb{index}", verdict=LETTERS[letter], elapsed=index + 1.0)
        for index, (section, letter) in enumerate(sections)
    ]


def result(
    letters: str,
    *,
    run: str = "20261122T231500Z-abcdef",
    expectations: Expectations | None = None,
    declared: int | None = None,
    facts: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    ran = steps(letters)
    return conclude(
        run=run,
        cell=cell(**changes),
        declared=len(ran) if declared is None else declared,
        steps=ran,
        started=NOW,
        elapsed=3.5,
        facts=facts or {},
        expectations=expectations or Expectations(),
        today=TODAY,
    )


def stored(letters: str, **changes: Any) -> Stored:
    return Stored(result(letters, **changes), Path("/nowhere"), seal=SealState.SEALED)


def spec(kernel: str = "k1", scenario: str = "s1", **more: Any) -> dict[str, Any]:
    """What a run-spec says of inputs, in short."""
    return {"kernel": {"name": "linux", "digest": kernel}, "scenario": {"name": scenario}, **more}


def execute(
    run: Run,
    letters: str,
    *,
    die: bool = False,
    attempt: int = 1,
    inputs: dict[str, Any] | None = None,
    console: str | None = None,
    **changes: Any,
) -> Path:
    """Write a result directory as a worker does; with `die`, as one that was killed before the result.

    `inputs` is the run-spec (see `spec`), `console` what dom0's console showed.
    """
    outcome = result(letters, run=run.id, **changes)
    directory = run.cell_directory(outcome.cell, attempt)
    if inputs is not None:
        (directory / "run-spec.json").write_text(json.dumps(inputs))
    if console is not None:
        (directory / "console").mkdir()
        (directory / "console/dom0.log").write_text(console)
    with Journal(directory) as journal:
        plan = [StepPlan(section=step.section, verb=step.verb) for step in outcome.steps]
        journal.cell_start(run.id, outcome.cell, plan)
        for step in outcome.steps:
            journal.step_start(step.index, step.section, step.verb)
            journal.step_end(step.index, step.verdict, step.elapsed)
        if not die:
            journal.finish(outcome)
    return directory
