"""A pytest plugin for tests of the scheduler: cells that take their time, leave a trace, and boot nothing.

`QUICK_CELLS` is a file to which each cell appends `begin NAME` and `end NAME`; a cell takes what it cost before,
divided by SPEED.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from results.conclude import not_run
from results.timings import all_whole

SPEED = 200


def _say(text: str) -> None:
    with Path(os.environ["QUICK_CELLS"]).open("a") as stream:
        stream.write(f"{text}\n")


def _make_spec(cell: Any, run: str, *_: object) -> SimpleNamespace:
    return SimpleNamespace(cell=cell.id(), run=run)


def _run_cell(spec: Any, _directory: Path) -> Any:
    _say(f"begin {spec.cell.id}")
    time.sleep(all_whole().get(spec.cell.id, 20.0) / SPEED)
    if spec.cell.scenario == os.environ.get("QUICK_DEATH"):
        os.kill(os.getpid(), 9)
    _say(f"end {spec.cell.id}")
    return not_run(run=spec.run, cell=spec.cell, declared=0, reason="a fake")


def pytest_configure() -> None:
    """Be in place before the first cell."""
    import harness.specs
    import harness.worker

    harness.specs.make_spec = _make_spec  # type: ignore[assignment]
    harness.worker.run_cell = _run_cell  # type: ignore[assignment]
