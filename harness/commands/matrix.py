"""`testbed matrix`: the matrix of `results`, which is told here what today's plan would use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.cli import main as print_matrix

if TYPE_CHECKING:
    from results.inputs import Today


def main(argv: Sequence[str]) -> int:
    """Print the matrix and return the exit code."""
    return print_matrix(argv, _today)


def _today() -> Today:
    from harness.today import todays_inputs  # noqa: PLC0415  (lazy: `--help` stays quick)

    return todays_inputs()
