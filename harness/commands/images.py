"""`testbed images`: the image cache at the command line, with the same display as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from harness.display import Display
from images.cli import main as images_main


def main(argv: Sequence[str]) -> int:
    """Run an images command; returns its exit code."""
    with Display("images") as display:
        return images_main(list(argv), display.report)
