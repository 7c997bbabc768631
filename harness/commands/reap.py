"""`testbed reap`: end what a killed run left behind."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence

from base.errors import EXIT_OK
from harness.scratch import abandoned
from sim.reap import Orphan, reap


def main(argv: Sequence[str]) -> int:
    """End all processes of ours whose harness is gone, and remove its scratch folders; returns 0. Raises OSError."""
    argparse.ArgumentParser(
        prog="testbed reap",
        description="End every process that the test bed started and whose harness no longer lives, and remove its "
        "scratch files. Runs under way are left alone.",
    ).parse_args(argv)

    def tell(orphan: Orphan) -> None:
        print(f"ending {orphan.pid}: {orphan.command[:100]}")

    processes, folders = reap(tell), abandoned()
    for folder in folders:
        print(f"removing {folder}")
        shutil.rmtree(folder)
    if not processes and not folders:
        print("nothing was left behind")
    return EXIT_OK
