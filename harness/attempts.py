"""A cell gets a second attempt after trouble of ours, never after a failure of the product."""

from __future__ import annotations

from pathlib import Path

from harness.runspec import RunSpec
from harness.worker import run_cell
from results.model import Result, Verdict
from results.store import Run

RETRIED = "retried"


def run_attempts(spec: RunSpec, run: Run) -> tuple[Result, Path]:
    """Execute a cell in a result directory of its own; after `infra` once more, in a fresh one, which then counts.

    The second result says so by the fact `retried`, whose value is what the first ended with; the first stays as
    it is. Raises what `run_cell` raises, InfraError if the run has the cell already.
    """
    directory = run.cell_directory(spec.cell)
    result = run_cell(spec, directory)
    if result.verdict is not Verdict.INFRA:
        return result, directory
    directory = run.cell_directory(spec.cell, attempt=2)
    return run_cell(spec, directory, {RETRIED: result.message or str(result.verdict)}), directory
