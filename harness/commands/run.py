"""`testbed run`: images, then cells through pytest, then the matrix."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from base import owner
from base.errors import InfraError, UsageError
from base.paths import PROJECT
from base.progress import Event
from harness.calibration import check_override
from harness.display import Display, duration
from harness.plan import Choice, PlannedCell, plan
from harness.scenario import FOLDER, find_scenario, load_scenario
from harness.watch import RunWatcher, cell_expected, cell_task
from results.store import Run

if TYPE_CHECKING:
    from harness.beside import Side

# What pytest answers when tests failed, and when there were none.
PYTEST_FINE = (0, 1)

EPILOG = """\
examples:  ./testbed run                                   everything there is
           ./testbed run domu-boot -p g5 --kernel fixed    one scenario, one platform, one column
           ./testbed run dom0-boot -p g5 --kernel ./vmlinux   your own kernel as dom0
           ./testbed run ./mine.yaml                       your own scenario"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed run`."""
    made = argparse.ArgumentParser(
        prog="testbed run",
        description="Build what is missing, run the cells of the scenarios, and print the matrix.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("scenario", nargs="*", help="scenarios by name or file (default: all)")
    made.add_argument("-p", "--platform", help="only on this platform")
    made.add_argument("-H", "--hypervisor", help="only under this hypervisor")
    made.add_argument("-k", "--kernel", help="only this kernel column (stock, fixed), or your own vmlinux")
    made.add_argument("--firmware", help="the platform's firmware, e.g. vof on pseries-970")
    made.add_argument("--append", default="", help="more arguments for dom0's kernel")
    made.add_argument("--cold", action="store_true", help="boot everything: use no templates, and leave none")
    made.add_argument("-n", type=_count, metavar="N", help="vCPUs at once (default: the number of CPUs)")
    made.add_argument("--junit", type=Path, metavar="F", help="write a JUnit report")
    made.add_argument("--json", type=Path, metavar="F", help="write this run's matrix as JSON")
    return made


def main(argv: Sequence[str]) -> int:
    """Run cells; returns 0 if all was as expected, 1 if the product was not, 3 for trouble of ours."""
    options = parser().parse_args(argv)
    choice = Choice(
        options.platform,
        options.hypervisor,
        options.kernel,
        options.firmware,
        options.append,
        "none" if options.cold else "make",
    )
    choice.check()
    check_override()
    for target in (options.junit, options.json):
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(f"cannot write {target}: its folder does not exist")
    named = [find_scenario(name) for name in options.scenario]
    paths = list(dict.fromkeys(path.absolute() for path in named)) or sorted(FOLDER.glob("*.yaml"))
    cells = plan([load_scenario(path) for path in paths], choice)
    if not cells:
        raise UsageError("no cell matches", hint="`./testbed list cells` shows all there are")
    run = _execute(cells, paths, options)
    return _conclude(run, cells, options.json)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 up")
    return int(text)


def _execute(cells: Sequence[PlannedCell], paths: Sequence[Path], options: argparse.Namespace) -> Run:
    from harness.beside import beside_builds  # noqa: PLC0415  (lazy: a mistake in the arguments is told at once)
    from results.store import create_run  # noqa: PLC0415

    with Display("run") as display:
        for cell in cells:
            task = cell_task(cell.id().id)
            display.report(Event(task, "waiting", expected=cell_expected(cell.id().id)))
        run = create_run(["testbed", "run", *sys.argv[2:]])
        with beside_builds(cells, options.n, display.report) as side, RunWatcher(run, display.report):
            _pytest(run, paths, options, side)
    return run


def _pytest(run: Run, paths: Sequence[Path], options: argparse.Namespace, side: Side) -> None:
    """Run the cells in a pytest of their own, whose report goes to the run's folder."""
    # -P: a folder called `base` or `sim` where the user happens to be must not take the place of ours.
    command = [sys.executable, "-P", "-m", "pytest", "-p", "harness.pytest_plugin", "--rootdir", str(PROJECT)]
    command += ["-c", str(PROJECT / "pyproject.toml"), "--testbed-run", run.id, "-o", "addopts=", "-q"]
    command += ["-p", "no:cacheprovider"]  # the checkout may be read-only, and two runs at once never meet
    command += ["--testbed-coordinator", side.address]
    if side.workers > 1:
        command += ["-n", str(side.workers)]
    for name in ("platform", "hypervisor", "kernel", "firmware", "append"):
        if value := getattr(options, name):
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


def _conclude(run: Run, cells: Sequence[PlannedCell], json_file: Path | None) -> int:
    import json  # noqa: PLC0415

    from base.files import atomic_write  # noqa: PLC0415
    from results.expectations import exit_code, unexpected  # noqa: PLC0415
    from results.matrix import build_matrix, to_json  # noqa: PLC0415
    from results.render import count, print_table, wide_console  # noqa: PLC0415
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
    if json_file is not None:
        atomic_write(json_file, json.dumps(to_json(matrix, notes), indent=1) + "\n")
    results = [item.result for item in stored]
    surprises = unexpected(results)
    elapsed = max(r.started.timestamp() + r.elapsed for r in results) - min(r.started.timestamp() for r in results)
    summary = f"{count(len(results), 'cell')} in {duration(elapsed)}"
    print(f"{summary}, {len(surprises)} not as expected" if surprises else f"{summary}, all as expected")
    print(f"evidence: {run.directory}")
    return exit_code(results)
