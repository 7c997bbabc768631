"""`testbed matrix`: print what is known, from the evidence."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from base.errors import EXIT_OK, TestbedError

if TYPE_CHECKING:
    from results.inputs import Today

HELP = """\
Print the matrix: ten features of XenPPC's status page (and ours) by platform, hypervisor and kernel.
Each status is computed from the newest result of a cell that says something about the product."""

EPILOG = """\
statuses:   yes       all the feature's own steps passed
            close     some did
            no        none did, or the product did not get that far
            untested  never ran, or trouble of ours says nothing about the product
            n/a       the question makes no sense there
remarks:    known     expected not to pass, for the reason below the table
            unexpected  passes although it is expected not to
            port failure      passes on a reference (a column marked so)
            test or upstream  fails on a reference as well
            unjudged          has not run on the reference there is
            1 of 2 ran  of the cells behind it
            stale       too old, or made from other inputs than today's plan would use
            edited      a file of its evidence is not what it was when the cell ended: it counts as untested
            unsealed    from before evidence was sealed: whether it was edited cannot be told

environment: TESTBED_EXPIRY is the number of days after which a result is stale (default: 30)

examples:   ./testbed matrix                           everything known
            ./testbed matrix --run last --format md    the newest run, for a wiki
            ./testbed matrix --format json | jq '.cells[] | select(.status == "no") | .evidence'
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed matrix`."""
    made = argparse.ArgumentParser(
        prog="testbed matrix", description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--format", choices=("table", "json", "md"), default="table", help="default: %(default)s")
    made.add_argument(
        "--run",
        action="append",
        metavar="ID",
        help="only this run: its id, a beginning of it, or `last`; may be repeated (default: all runs)",
    )
    made.add_argument("--expiry", type=float, metavar="DAYS", help="a result older than that is stale (default: 30)")
    return made


def main(argv: Sequence[str] | None = None, today: Callable[[], Today] | None = None) -> int:
    """Print the matrix and return the exit code: 0, 2 for a run that is not there, 3 for an unreadable store.

    `today` tells what today's plan would use; without it only age makes a result stale.
    """
    options = parser().parse_args(argv)
    try:
        _print(options.format, options.run, options.expiry, today)
    except TestbedError as error:
        print(f"testbed matrix: {error}", file=sys.stderr)
        return error.exit_code
    return EXIT_OK


def _print(form: str, names: Sequence[str] | None, expiry: float | None, today: Callable[[], Today] | None) -> None:
    from results.matrix import build_matrix, to_json  # noqa: PLC0415  (lazy: `--help` stays quick)
    from results.stale import judge_staleness  # noqa: PLC0415
    from results.store import find_run, latest_per_cell  # noqa: PLC0415

    runs = None if names is None else [find_run(name) for name in names]
    notes: list[str] = []
    latest = latest_per_cell(runs, notes)
    matrix = build_matrix(judge_staleness(latest, today() if today and latest else None, days=expiry))
    if form == "json":
        print(json.dumps(to_json(matrix, notes), indent=1))
        return
    from results import render  # noqa: PLC0415

    if form == "md":
        print(render.markdown(matrix, notes), end="")
    else:
        render.print_table(matrix, render.wide_console(), notes)
