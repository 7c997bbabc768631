"""Machines that answer and stay, for what is measured on a running one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from bench.model import BenchFailed
from harness.cell import Cell
from harness.resolve import Resolved, resolve
from harness.runspec import RunSpec
from harness.steps.answering import BootParams, boot_dom0
from harness.warm import Warm
from results.journal import Journal


@asynccontextmanager
async def answering(spec: RunSpec, directory: Path) -> AsyncIterator[Cell]:
    """Start a cell's dom0, from its template if the spec is a warm one; it lives within the block.

    Raises BenchFailed when a warm one has no template, and what starting raises.
    """
    directory.mkdir(parents=True)  # noqa: ASYNC240  (one local folder)
    resolved = resolve(spec)
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(directory))
        cell = _cell(spec, resolved, journal, stack, directory)
        if spec.templates != "none":
            clone = partial(_cell, spec, resolved, journal)
            done, _ = await Warm(cell, clone, {}).resume()
            if not done:
                raise BenchFailed(f"{spec.cell.id} has no template", where=str(directory))
        else:
            await boot_dom0(cell, BootParams())
        yield cell


def _cell(spec: RunSpec, resolved: Resolved, journal: Journal, stack: AsyncExitStack, directory: Path) -> Cell:
    return Cell(spec, directory, journal, stack, resolved, fact=journal.fact)
