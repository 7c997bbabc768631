"""`testbed results`: what is stored, a cell's history, and whether it is as it was."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from base.errors import EXIT_INFRA, EXIT_OK, UsageError
from base.yamlmodel import suggest

if TYPE_CHECKING:
    from results.history import FirstBad, Moment

EPILOG = """\
examples:  ./testbed results list
           ./testbed results history domu-boot.g5.kvm-pr.fixed   with the inputs that changed, and the first bad change
           ./testbed results verify last                         hash all evidence again

The result directories are the truth. index.sqlite3 beside them only makes them quick to ask; it is brought up to date
by whoever reads, and may be removed at any time. Finished directories are sealed: verify names each file that is not
what it was (exit code 3). A seal tells editing and damage; it is no signature."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed results`."""
    made = argparse.ArgumentParser(
        prog="testbed results",
        description="Look at stored results.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="all runs: when, how many cells of each verdict")
    history = commands.add_parser("history", help="all results of a cell, and which inputs changed between them")
    history.add_argument("cell", metavar="CELL", help="a cell's id, as `./testbed list cells` shows it")
    history.add_argument("--json", action="store_true", help="for programs")
    verify = commands.add_parser("verify", help="hash the evidence of runs again (default: all)")
    verify.add_argument("runs", nargs="*", metavar="RUN", help="a run: its id, a beginning of it, or `last`")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run `testbed results`; returns 0, or 3 if evidence was edited. Raises UsageError, InfraError."""
    options = parser().parse_args(argv)
    if options.command == "list":
        return _list()
    if options.command == "history":
        return _history(options.cell, options.json)
    return _verify(options.runs)


def _list() -> int:
    from collections import Counter  # noqa: PLC0415  (all imports below are lazy: `--help` stays quick)

    from results.baselines import list_baselines  # noqa: PLC0415
    from results.store import list_runs, results_of  # noqa: PLC0415

    notes: list[str] = []
    names: dict[str, list[str]] = {}
    for baseline in list_baselines().values():
        names.setdefault(baseline.run, []).append(baseline.name)
    for run in list_runs(notes):
        stored = results_of(run, notes)
        counts = Counter("edited" if one.edited else one.result.verdict.value for one in stored)
        told = ", ".join(f"{number} {word}" for word, number in sorted(counts.items())) or "no results"
        called = f"  [{', '.join(names[run.id])}]" if run.id in names else ""
        print(f"{run.id}  {told}{called}")
    for note in notes:
        print(f"note: {note}")
    return EXIT_OK


def _history(cell: str, as_json: bool) -> int:
    from results.history import first_bad  # noqa: PLC0415
    from results.store import cell_history, latest_per_cell  # noqa: PLC0415

    found = cell_history(cell)
    if not found:
        known = [stored.result.cell.id for stored in latest_per_cell()]
        raise UsageError(f"no result of a cell '{cell}'{suggest(cell, known)}")
    broke = first_bad(found)
    if as_json:
        print(json.dumps(_data(found, broke), indent=1))
        return EXIT_OK
    for moment in found:
        result = moment.stored.result
        for change in moment.changes:
            print(f"      {change}")
        again = " (second attempt)" if moment.stored.retried else ""
        told = f": {' '.join(result.message.split())[:160]}" if result.message else ""
        print(f"{result.run}  {result.status} ({result.verdict}){again}{told}")
    if broke is not None:
        since = f", passed last in {broke.good.result.run}" if broke.good else ", never passed before"
        print(f"\nfirst bad: {broke.bad.result.run}{since}")
        for change in broke.changes:
            print(f"      {change}")
        if broke.good and not broke.changes:
            print("      no input changed, as far as they are known")
        print(f"  evidence: {broke.bad.evidence}")
    return EXIT_OK


def _verify(names: Sequence[str]) -> int:
    from results.runs import find_run, list_runs  # noqa: PLC0415
    from results.seal import SealState  # noqa: PLC0415
    from results.sides import observe_run  # noqa: PLC0415

    notes: list[str] = []
    runs = [find_run(name) for name in names] or list_runs(notes)
    found = [stored for run in runs for stored in observe_run(run, notes)]
    for stored in found:
        if stored.edited:
            print(f"edited: {stored.directory}")
            for fault in stored.faults:
                print(f"  {fault}")
    for note in notes:
        print(f"note: {note}")
    states = [stored.seal for stored in found]
    broken, unsealed = states.count(SealState.BROKEN), states.count(SealState.UNSEALED)
    told = f"{states.count(SealState.SEALED)} as they were when they were finished, {broken} edited"
    print(f"{len(found)} results: {told}" + (f", {unsealed} never sealed" if unsealed else ""))
    return EXIT_INFRA if broken else EXIT_OK


def _data(found: Sequence[Moment], broke: FirstBad | None) -> dict[str, Any]:
    def one(moment: Moment) -> dict[str, Any]:
        result = moment.stored.result
        return {
            "run": result.run,
            "started": result.started.isoformat(),
            "status": result.status.value,
            "verdict": result.verdict.value,
            "raw": result.raw.value,
            "message": result.message,
            "directory": str(moment.stored.directory),
            "inputs": dict(moment.stored.inputs),
            "changes": [change._asdict() for change in moment.changes],
        }

    bad = None
    if broke is not None:
        good = broke.good.result.run if broke.good else None
        bad = {"good": good, "bad": broke.bad.result.run, "changes": [change._asdict() for change in broke.changes]}
    return {"schema": 1, "results": [one(moment) for moment in found], "first_bad": bad}
