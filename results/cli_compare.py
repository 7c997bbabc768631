"""`testbed compare`: what broke between two sets of results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

HELP = """\
Compare two sets of results, cell by cell: what is newly broken, newly fixed, still broken; flaky (both verdicts from
the same inputs) and infra (trouble of ours) apart. Beside each stands which inputs changed: kernel, QEMU, firmware,
images and their recipes, scenario, platform, hypervisor, the test bed's own code, the host."""

EPILOG = """\
A and B:    a run: its id, a beginning of it, or `last`
            a baseline: a name that `./testbed baseline` or `./testbed run --save-baseline` gave a run
            a file that `./testbed run --json` or `./testbed matrix --format json` wrote
            a folder of results, e.g. what all shards of a CI job left: runs, or such JSON files

exit codes: 0 no new failures: nothing that fails unexpectedly in B and is not known to fail in A, or to be flaky
            1 there are
            2 A or B does not exist

examples:   ./testbed compare main last
            ./testbed compare main.json shards/ --format md >> "$GITHUB_STEP_SUMMARY"
            ./testbed compare 20261122 20261124 --format json | jq .new_failures
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed compare`."""
    made = argparse.ArgumentParser(
        prog="testbed compare", description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("before", metavar="A", help="what was")
    made.add_argument("after", metavar="B", help="what is")
    made.add_argument("--format", choices=("table", "json", "md"), default="table", help="default: %(default)s")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Print a comparison; returns 1 if there are new failures, else 0. Raises UsageError, InfraError."""
    options = parser().parse_args(argv)
    from results import compared  # noqa: PLC0415  (lazy: `--help` stays quick)
    from results.compare import compare, suspects  # noqa: PLC0415
    from results.sides import load_side  # noqa: PLC0415
    from results.store import known_verdicts  # noqa: PLC0415
    from results.triage import load_references  # noqa: PLC0415

    before, after = load_side(options.before), load_side(options.after)
    comparison = compare(before, after, known_verdicts(suspects(before, after)), load_references())
    if options.format == "json":
        print(json.dumps(compared.to_json(comparison), indent=1))
    elif options.format == "md":
        print(compared.markdown(comparison), end="")
    else:
        print(compared.text(comparison), end="")
    return comparison.exit_code
