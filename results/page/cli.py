"""`testbed page`: write the status page, a folder of static files."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import EXIT_OK

if TYPE_CHECKING:
    from results.inputs import Today

DEFAULT = "page"

EPILOG = """\
The folder needs no server and no network: open its index.html, or copy it to any web space. A later call with the
same folder brings it up to date; pages of older runs stay, so links to them do not break.

  index.html                the matrix           features/FEATURE.html     a row, its times over runs
  cells/CELL/index.html     the newest result    runs/RUN/CELL/index.html  a result for ever, with its evidence
  badges/FEATURE.svg        for other pages      feed.json, changes.atom   for programs

examples:   ./testbed page                            into ./page
            ./testbed page --out /srv/www/status
            ./testbed page --run last --out /tmp/p    the newest run alone"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed page`."""
    made = argparse.ArgumentParser(
        prog="testbed page",
        description="Write the status page from the results there are.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--out", type=Path, default=Path(DEFAULT), metavar="DIR", help="default: ./%(default)s")
    made.add_argument(
        "--run",
        action="append",
        metavar="ID",
        help="only this run: its id, a beginning of it, or `last`; may be repeated (default: all runs)",
    )
    made.add_argument("--expiry", type=float, metavar="DAYS", help="a result older than that is stale (default: 30)")
    made.add_argument(
        "--older",
        type=_count,
        default=5,
        metavar="N",
        help="so many older results of each cell get a page of their own as well (default: %(default)s)",
    )
    return made


def main(argv: Sequence[str] | None = None, today: Callable[[], Today] | None = None) -> int:
    """Write the page and return 0. Raises UsageError for a run or a folder that will not do, InfraError.

    `today` tells what today's plan would use; without it only age makes a result stale.
    """
    options = parser().parse_args(argv)
    from results.page.gather import gather  # noqa: PLC0415  (lazy: `--help` stays quick)
    from results.page.site import write_site  # noqa: PLC0415
    from results.render import count  # noqa: PLC0415
    from results.store import find_run  # noqa: PLC0415

    began = time.monotonic()
    runs = None if options.run is None else [find_run(name) for name in options.run]
    site = gather(runs, today=today, expiry=options.expiry)
    written = write_site(site, options.out, older=options.older)
    for note in (*site.notes, *written.notes):
        print(f"note: {note}", file=sys.stderr)
    if not site.entries:
        print("note: no results yet; `./testbed run` makes some", file=sys.stderr)
    cells, results = count(len(site.entries), "cell"), count(written.executions, "page")
    print(f"{cells}, {results} of results in {time.monotonic() - began:.1f} s")
    print(written.front.absolute())
    return EXIT_OK


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 up")
    return int(text)
