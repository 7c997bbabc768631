"""`testbed baseline`: names for runs that others are compared with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from base.errors import EXIT_OK, UsageError

EPILOG = """\
A baseline is a name for one run, nothing more: it is set by somebody, never moved by itself. It may have failures:
they are what is known to be broken. On another machine use that run's JSON file instead (docs/ci.md).

examples:  ./testbed baseline                     list them
           ./testbed baseline main last           from now on `main` is the newest run
           ./testbed run --baseline main          only new failures are red
           ./testbed run --save-baseline main     the same, when this run is complete
           ./testbed baseline --remove main       the run itself stays
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed baseline`."""
    made = argparse.ArgumentParser(
        prog="testbed baseline",
        description="Give a run a name, to compare others with.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", nargs="?", metavar="NAME", help="a name of yours, e.g. main")
    made.add_argument("run", nargs="?", metavar="RUN", help="a run: its id, a beginning of it, or `last`")
    made.add_argument("--remove", action="store_true", help="forget the name")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """List, set or remove a baseline; returns 0. Raises UsageError, InfraError."""
    options = parser().parse_args(argv)
    from results.baselines import find_baseline, list_baselines, remove_baseline, save_baseline  # noqa: PLC0415
    from results.runs import find_run  # noqa: PLC0415

    if options.remove:
        if options.name is None or options.run is not None:
            raise UsageError("--remove takes one name", hint="./testbed baseline --remove main")
        remove_baseline(options.name)
    elif options.name is None:
        for name, baseline in list_baselines().items():
            print(f"{name}  {baseline.run}  (set {baseline.set_at:%Y-%m-%d %H:%M} UTC)")
    elif options.run is None:
        if (run := find_baseline(options.name)) is None:
            raise UsageError(f"no baseline '{options.name}'", hint=f"./testbed baseline {options.name} RUN makes it")
        print(run.id)
    else:
        run = find_run(options.run)
        save_baseline(options.name, run)
        print(f"{options.name} is run {run.id}")
    return EXIT_OK
