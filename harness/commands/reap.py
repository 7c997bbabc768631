"""`testbed reap`: end what a killed run left behind."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from base.errors import EXIT_OK
from sim.reap import Orphan, reap


def main(argv: Sequence[str]) -> int:
    """End all processes of ours whose harness is gone; returns 0."""
    argparse.ArgumentParser(
        prog="testbed reap",
        description="End every process that the test bed started and whose harness no longer lives. Runs under way "
        "are left alone.",
    ).parse_args(argv)

    def tell(orphan: Orphan) -> None:
        print(f"ending {orphan.pid}: {orphan.command[:100]}")

    count = reap(tell)
    print(f"{count} left-over process{'' if count == 1 else 'es'} ended" if count else "nothing was left behind")
    return EXIT_OK
