"""`testbed page`: the status page of `results`, which is told here what today's plan would use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.page.cli import main as write_page

if TYPE_CHECKING:
    from results.inputs import Today


def main(argv: Sequence[str]) -> int:
    """Write the page and return the exit code."""
    return write_page(argv, _today)


def _today() -> Today:
    from harness.today import todays_inputs  # noqa: PLC0415  (lazy: `--help` stays quick)

    return todays_inputs()
