"""Cells that have run, found again by name: their run-specs, and where their evidence is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import images
from base.errors import UsageError
from base.progress import Report, silent
from harness.plan import GDB
from harness.runspec import FILE, DebuggerImages, ImageRef, RunSpec, read_spec
from results.store import find_run, list_runs


@dataclass(frozen=True)
class Ran:
    """A cell that has run."""

    spec: RunSpec
    directory: Path


def find_cell(word: str) -> Ran:
    """Return the cell that a word names: RUN/CELL, a cell of the newest run that has it, or a result directory.

    RUN is as `find_run` takes it (`last`); of CELL, any part that only one cell of the run has will do.
    Raises UsageError.
    """
    path = Path(word)
    if (path / FILE).is_file():
        return Ran(read_spec(path / FILE), path.absolute())
    run_word, slash, cell_word = word.partition("/")
    runs = [find_run(run_word)] if slash else list(reversed(list_runs()))
    wanted = cell_word if slash else word
    for run in runs:
        known = [each for each in run.cell_directories() if (each / FILE).is_file()]
        exact = [each for each in known if each.name == wanted]
        found = exact or [each for each in known if wanted in each.name]
        # A second attempt stands for its cell.
        if len({each.name.partition("@")[0] for each in found}) == 1:
            return Ran(read_spec(found[-1] / FILE), found[-1])
        if found:
            names = ", ".join(each.name for each in found)
            raise UsageError(f"'{wanted}' is more than one cell of {run.id}: {names}")
    hint = "`./testbed matrix` shows the folders of cells; name one, or RUN/CELL"
    raise UsageError(f"no run has a cell '{wanted}' that was executed", hint=hint)


def with_debugger(spec: RunSpec, report: Report = silent) -> RunSpec:
    """Return a run-spec whose cell has a gdb at hand. Raises what building its image raises."""
    if spec.debugger is not None:
        return spec
    kernel = spec.hypervisor.column(spec.cell.kernel).domu_kernel
    made = images.ensure([GDB, *([kernel] if kernel else [])], report=report)

    def reference(name: str) -> ImageRef:
        return ImageRef(name=name, digest=made[name].digest, recipe=made[name].provenance.recipe_digest)

    debugger = DebuggerImages(gdb=reference(GDB), domu_kernel=reference(kernel) if kernel else None)
    scenario = spec.scenario.model_copy(update={"debugger": True})
    return spec.model_copy(update={"debugger": debugger, "scenario": scenario})
