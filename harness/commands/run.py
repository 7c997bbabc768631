"""`testbed run`: images, then cells through pytest, then the matrix."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from base import owner
from base.errors import EXIT_OK, InfraError, UsageError
from base.paths import PROJECT
from base.progress import Event
from harness import acceleration, bisect, calibration
from harness.bring import check_files
from harness.choosing import OPTIONS, add_options, count, field, given
from harness.display import Display
from harness.hypervisor import use_folders
from harness.plan import Choice, PlannedCell, plan
from harness.scenario import FOLDER, find_scenario, load_scenario
from harness.watch import RunWatcher, cell_expected, cell_task
from results.store import Run

if TYPE_CHECKING:
    from harness.beside import Side as Beside
    from results.compare import Side

# What pytest answers when tests failed, and when there were none.
PYTEST_FINE = (0, 1)

EPILOG = """\
examples:  ./testbed run                                   everything there is
           ./testbed run domu-boot -p g5 --kernel fixed    one scenario, one platform, one column
           ./testbed run dom0-boot -p g5 --kernel ./vmlinux   your own kernel as dom0
           ./testbed run ./mine.yaml                       your own scenario
           ./testbed run --save-baseline main              remember this run as `main`
           ./testbed run --baseline main                   only what `main` does not know to be broken is red
           ./testbed run domu-boot -p g5 --bisect --kernel ./vmlinux   for `git bisect run` (docs/bring-your-own.md)
           ./testbed run --shard 2/3 --baseline main.json  the second of three machines (docs/ci.md)

trouble of ours or the host's (infra): such a cell is tried once more, and the second attempt marked as such;
           a failure of the product never is"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed run`."""
    made = argparse.ArgumentParser(
        prog="testbed run",
        description="Build what is missing, run the cells of the scenarios, and print the matrix.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("scenario", nargs="*", help="scenarios by name or file (default: all)")
    add_options(made, several=["platform"])
    made.add_argument("--cold", action="store_true", help="boot everything: use no templates, and leave none")
    made.add_argument(
        bisect.OPTION,
        action="store_true",
        help="end with what `git bisect run` takes: 0 good, 1 bad, 125 cannot be tested, 128 stop",
    )
    made.add_argument("--dry-run", action="store_true", help="run nothing: print the cells and their commands")
    made.add_argument("-n", type=count, metavar="N", help="vCPUs at once (default: the number of CPUs)")
    made.add_argument("--junit", type=Path, metavar="F", help="write a JUnit report")
    made.add_argument("--json", type=Path, metavar="F", help="write this run's matrix as JSON")
    made.add_argument("--summary", type=Path, metavar="F", help="append a summary in Markdown ($GITHUB_STEP_SUMMARY)")
    made.add_argument(
        "--baseline",
        metavar="REF",
        help="exit with 1 only for new failures; REF is a run (its id, a beginning of it, `last`), a name given with "
        "--save-baseline or `testbed baseline`, a file of --json, or a folder of them",
    )
    made.add_argument("--save-baseline", metavar="NAME", help="call this run NAME once all its cells have run")
    made.add_argument("--shard", metavar="I/N", help="only part I of N of the cells; the parts of all I are the whole")
    made.add_argument(
        "--costs", metavar="REF", help="balance shards by these results' times (default: the baseline's); as --baseline"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Run cells; returns 0 if all was as expected, 1 if the product was not, 3 for trouble of ours.

    With --dry-run it only tells which, with --bisect it returns what `git bisect run` takes (harness.bisect).
    """
    if bisect.OPTION in argv:
        return bisect.guarded(lambda: _bisect(argv))
    options = parser().parse_args(argv)
    cells, paths = _plan(options)
    check_files(cells)
    baseline = _prepare(options)
    if options.shard is not None:
        from harness.sharding import take_shard  # noqa: PLC0415  (lazy: few need it)

        cells, options.shard = take_shard(cells, options.shard, options.costs or baseline)
    if options.dry_run:
        from harness.dryrun import dry_run  # noqa: PLC0415  (lazy: as above)

        for line in dry_run(cells, cell_expected):
            print(line)
        return EXIT_OK
    run = _execute(cells, _targets(cells, paths, options), options)
    return _conclude(run, cells, baseline, options)


def _bisect(argv: Sequence[str]) -> bisect.Judgement:
    """Run cells of one commit, booting all that they need: its templates would be of no use to another."""
    options = parser().parse_args(argv)
    for name in ("baseline", "save_baseline", "shard"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} makes no sense beside --bisect", hint=f"leave out {option}")
    options.cold = True
    cells, paths = _plan(options)
    try:
        check_files(cells)
    except UsageError as error:
        raise bisect.BadImage(error.message, hint=error.hint) from error
    run = _execute(cells, _targets(cells, paths, options), options)
    _conclude(run, cells, None, options)
    from results.store import results_of  # noqa: PLC0415  (lazy: see above)

    return bisect.judge([stored.load() for stored in results_of(run, [])])


def _plan(options: argparse.Namespace) -> tuple[list[PlannedCell], list[Path]]:
    """Return the cells that the options choose, and the files of their scenarios. Raises UsageError."""
    use_folders(options.hypervisors)
    choice = Choice(
        **{**given(partial(getattr, options)), "platform": None}, templates="none" if options.cold else "make"
    )
    choices = [replace(choice, platform=name) for name in dict.fromkeys(options.platform)] or [choice]
    for each in choices:
        each.check()
    calibration.check_override()
    acceleration.check_override()
    for target in (options.junit, options.json, options.summary):
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(f"cannot write {target}: its folder does not exist")
    named = [find_scenario(name) for name in options.scenario]
    paths = list(dict.fromkeys(path.absolute() for path in named)) or sorted(FOLDER.glob("*.yaml"))
    scenarios = [load_scenario(path) for path in paths]
    cells = [cell for each in choices for cell in plan(scenarios, each)]
    if not cells:
        raise UsageError("no cell matches", hint="`./testbed list cells` shows all there are")
    # pytest chooses by one platform at most; of several, the cells are named.
    options.platform = choices[0].platform if len(choices) == 1 else None
    options.several = len(choices) > 1
    return cells, paths


def _targets(cells: Sequence[PlannedCell], paths: Sequence[Path], options: argparse.Namespace) -> Sequence[Path]:
    """Return what pytest is to collect: scenarios, or cells by name where not all of them are meant."""
    if options.shard is None and not options.several:
        return paths
    by_name = {path.stem: path for path in paths}
    return [Path(f"{by_name[cell.scenario.name]}::{cell.name}") for cell in cells]


def _prepare(options: argparse.Namespace) -> Side | None:
    """Read what the options name, before anything starts; returns the baseline. Raises UsageError."""
    from results.baselines import check_name  # noqa: PLC0415  (lazy: `--help` stays quick)
    from results.shards import Shard  # noqa: PLC0415
    from results.sides import load_side  # noqa: PLC0415

    if options.save_baseline is not None:
        check_name(options.save_baseline)
    if options.shard is not None:
        options.shard = Shard.parse(options.shard)
    if options.costs is not None:
        options.costs = load_side(options.costs)
    return None if options.baseline is None else load_side(options.baseline)


def _execute(cells: Sequence[PlannedCell], paths: Sequence[Path], options: argparse.Namespace) -> Run:
    from harness.beside import beside_builds  # noqa: PLC0415  (lazy: a mistake in the arguments is told at once)
    from results.store import create_run  # noqa: PLC0415

    with Display("run") as display:
        for cell in cells:
            task = cell_task(cell.id().id)
            display.report(Event(task, "waiting", expected=cell_expected(cell.id().id)))
        run = create_run(["testbed", "run", *sys.argv[2:]], options.shard.facts() if options.shard else None)
        with beside_builds(cells, options.n, display.report) as beside, RunWatcher(run, display.report):
            _pytest(run, paths, options, beside)
    return run


def _pytest(run: Run, paths: Sequence[Path], options: argparse.Namespace, beside: Beside) -> None:
    """Run the cells in a pytest of their own, whose report goes to the run's folder."""
    # -P: a folder called `base` or `sim` where the user happens to be must not take the place of ours.
    command = [sys.executable, "-P", "-m", "pytest", "-p", "harness.pytest_plugin", "--rootdir", str(PROJECT)]
    command += ["-c", str(PROJECT / "pyproject.toml"), "--testbed-run", run.id, "-o", "addopts=", "-q"]
    command += ["-p", "no:cacheprovider"]  # the checkout may be read-only, and two runs at once never meet
    command += ["--testbed-coordinator", beside.address]
    if beside.workers > 1:
        command += ["-n", str(beside.workers)]
    for name in OPTIONS:
        if value := getattr(options, field(name)):
            command += [f"--{name}", value]
    if options.cold:
        command.append("--cold")
    if options.junit is not None:
        command += ["--junitxml", str(options.junit.absolute())]
    log = run.directory / "pytest.log"
    with log.open("wb") as stream:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command, *map(str, paths)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**owner.environment(), "PYTHONPATH": str(PROJECT)},
        )
        try:
            code = child.wait()
        except KeyboardInterrupt:
            # The terminal has told pytest as well; it ends its machines in order.
            child.wait()
            raise
    if code not in PYTEST_FINE:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise InfraError(f"pytest ended with {code}:\n{tail}", where=str(log))


def _conclude(run: Run, cells: Sequence[PlannedCell], baseline: Side | None, options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415

    from base.files import atomic_write  # noqa: PLC0415
    from harness.conclusion import Conclusion  # noqa: PLC0415
    from results.matrix import build_matrix, to_json  # noqa: PLC0415
    from results.render import markdown, print_table, wide_console  # noqa: PLC0415
    from results.store import results_of  # noqa: PLC0415

    notes: list[str] = []
    stored = results_of(run, notes)
    if len(stored) < len(cells):
        raise InfraError(
            f"only {len(stored)} of {len(cells)} cells left a result",
            hint="what happened to the others is there",
            where=str(run.directory / "pytest.log"),
        )
    matrix = build_matrix(stored)
    print_table(matrix, wide_console(), notes)
    if options.json is not None:
        shards = [options.shard] if options.shard else []
        atomic_write(options.json, json.dumps(to_json(matrix, notes, shards), indent=1) + "\n")
    conclusion = Conclusion.of(run, stored, baseline)
    print(conclusion.text(), end="")
    if options.summary is not None:
        with options.summary.open("a") as stream:
            stream.write(conclusion.markdown(markdown(matrix, notes)))
    if options.save_baseline is not None:
        print(conclusion.save(options.save_baseline))
    print(f"evidence: {run.directory}")
    return conclusion.exit_code
