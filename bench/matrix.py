"""`matrix`, `whole`, `overhead`: runs of many cells, against a naive script and against cold ones in a row."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import account, usage
from bench.cells import KERNEL, SCENARIOS, spec_of
from bench.context import Context
from bench.model import BenchFailed, Measure, ratio, rounded
from harness.resolve import resolve

NAIVE = Path(__file__).parent / "naive" / "naive.py"
FASTER, WITHIN, OVERHEAD = 4.0, 360.0, 0.03
# pytest's exit codes for a run that took place, as `testbed run` passes them on.
_RAN = (0, 1)


@dataclass(frozen=True)
class Ran:
    """A `testbed run`, in seconds: on the clock, CPU time of the harness in all its processes, and of the QEMUs.

    Of `own`, `workers` is what the processes used that execute cells. `unexpected`: a cell was not as expected.
    """

    wall: float
    own: float
    workers: float
    qemu: float
    cells: int
    unexpected: bool


def testbed_run(scenarios: Sequence[Path], folder: Path, *options: str) -> Ran:
    """Run scenarios through `testbed run`, its results in `folder`. Raises BenchFailed."""
    accounts, table, log = folder / "accounts", folder / "matrix.json", folder / "run.log"
    accounts.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "harness", "run", *map(str, scenarios), "-k", KERNEL, "--json", str(table)]
    environment = {
        "TESTBED_RESULTS": str(folder / "results"),
        "PYTEST_ADDOPTS": f"-p {account.__name__}",
        account.FOLDER: str(accounts),
    }
    ended = usage.run([*command, *options], log, environment)
    if ended.code not in _RAN or not table.exists():
        raise BenchFailed(f"`testbed run` ended with {ended.code}", where=str(log))
    told = [json.loads(path.read_text()) for path in accounts.iterdir()]
    qemu, workers = (sum(account[name] for account in told) for name in ("children", "own"))
    cells = len(json.loads(table.read_text())["cells"])
    return Ran(ended.wall, ended.cpu - qemu, workers, qemu, cells, ended.code != 0)


def rows() -> list[Path]:
    """Return the scenarios that check what the naive script does."""
    return sorted(SCENARIOS.glob("row-*.yaml"))


def matrix(context: Context) -> None:
    """Measure the rows of the naive script on all platforms: by it, cold one by one, and warm in parallel."""
    with context.place("matrix-first") as folder:
        context.tell("a first run, which leaves the templates")
        _all_passed(first := testbed_run(rows(), folder, *_only(context)), folder)
    naive, cold, warm = [], [], []
    for number in range(1, context.times(1) + 1):
        with context.place("matrix") as folder:
            context.tell(f"{number}: the naive script")
            naive.append(_naive(context, folder))
            context.tell(f"{number}: warm, in parallel")
            warm.append(testbed_run(rows(), folder / "warm", *_only(context)))
            context.tell(f"{number}: cold, one by one")
            cold.append(testbed_run(rows(), folder / "cold", "--cold", "-n", "1", *_only(context)))
            for ran in (warm[-1], cold[-1]):
                _all_passed(ran, folder)
    walls = {
        "naive": [ran.wall for ran in naive],
        "cold": [ran.wall for ran in cold],
        "warm": [ran.wall for ran in warm],
        "first": [first.wall],
    }
    cpu = {
        "naive": [ran.cpu for ran in naive],
        "cold": [ran.own + ran.qemu for ran in cold],
        "warm": [ran.own + ran.qemu for ran in warm],
    }
    samples = {f"{name}.wall.s": rounded(values) for name, values in walls.items()}
    samples |= {f"{name}.cpu.s": rounded(values) for name, values in cpu.items()}
    for what, over, under, asked in (
        ("naive script / warm and parallel", walls["naive"], walls["warm"], FASTER),
        ("naive script / the run that leaves the templates", walls["naive"], walls["first"], None),
        ("cold, one by one / warm and parallel", walls["cold"], walls["warm"], None),
        ("naive script / cold, one by one", walls["naive"], walls["cold"], None),
        ("CPU time of all processes, naive script / warm", cpu["naive"], cpu["warm"], None),
    ):
        context.add(
            Measure(
                bench="matrix",
                what=f"{warm[0].cells} cells: {what}",
                got=ratio(over, under),
                asked=asked,
                least=True,
                note=f"{median(over):.0f} s / {median(under):.0f} s",
                samples=samples if asked else {},
            )
        )
    _add_overhead(context, "matrix", warm)


def whole(context: Context) -> None:
    """Measure the shipped scenarios, all of them: warm in parallel, and cold one by one."""
    with context.place("whole-first") as folder:
        context.tell("a first run, which leaves the templates")
        testbed_run([], folder, *_only(context))
    with context.place("whole") as folder:
        context.tell("warm, in parallel")
        warm = testbed_run([], folder / "warm", *_only(context))
        context.tell("cold, one by one")
        cold = testbed_run([], folder / "cold", "--cold", "-n", "1", *_only(context))
    samples = {"warm.wall.s": [round(warm.wall, 1)], "cold.wall.s": [round(cold.wall, 1)]}
    got = ratio([cold.wall], [warm.wall])
    what = f"{warm.cells} cells: cold, one by one / warm and parallel"
    note = f"{cold.wall:.0f} s / {warm.wall:.0f} s"
    context.add(Measure(bench="whole", what=what, got=got, asked=FASTER, least=True, note=note, samples=samples))
    context.add(
        Measure(bench="whole", what=f"{warm.cells} cells: warm and parallel", got=warm.wall, unit="s", asked=WITHIN)
    )
    unexpected = warm.unexpected + cold.unexpected
    context.add(Measure(bench="whole", what="runs not as expected", got=unexpected, asked=0))
    _add_overhead(context, "whole", [warm])


def overhead(context: Context) -> None:
    """Measure what the harness itself uses in a run of warm cells."""
    with context.place("overhead-first") as folder:
        context.tell("a first run, which leaves the templates")
        _all_passed(testbed_run(rows(), folder, *_only(context)), folder)
    ran = []
    for number in range(1, context.times(1) + 1):
        with context.place("overhead") as folder:
            context.tell(f"{number}: warm, in parallel")
            ran.append(testbed_run(rows(), folder, *_only(context)))
            _all_passed(ran[-1], folder)
    _add_overhead(context, "overhead", ran)


def _add_overhead(context: Context, bench: str, ran: Sequence[Ran]) -> None:
    own, workers, qemu = ([getattr(run, name) for run in ran] for name in ("own", "workers", "qemu"))
    about = f"{median(workers):.1f} s of that in the workers, their start included"
    context.add(
        Measure(
            bench=bench,
            what=f"{ran[0].cells} warm cells: CPU time of the harness / of the QEMUs",
            got=ratio(own, qemu),
            asked=OVERHEAD,
            note=f"{median(own):.1f} s / {median(qemu):.1f} s; {about}",
            samples={"harness.cpu.s": rounded(own), "workers.cpu.s": rounded(workers), "qemu.cpu.s": rounded(qemu)},
        )
    )


def _naive(context: Context, folder: Path) -> usage.Ended:
    wall = cpu = 0.0
    for platform in context.platforms:
        resolved = resolve(spec_of("bench-dom0", platform, cold=True))
        command = [sys.executable, str(NAIVE), "--qemu", shlex.join(resolved.qemu.command), "--machine", platform]
        command += ["--kernel", str(resolved.kernel), "--initrd", str(resolved.initrd)]
        command += ["--log", str(folder / f"naive-{platform}.consoles")]
        log = folder / f"naive-{platform}.log"
        ended = usage.run(command, log, {"TERM": "dumb", **resolved.qemu.environment})
        if ended.code != os.EX_OK:
            raise BenchFailed(f"the naive script failed on {platform}", where=str(log))
        wall, cpu = wall + ended.wall, cpu + ended.cpu
    return usage.Ended(os.EX_OK, wall, cpu)


def _only(context: Context) -> tuple[str, ...]:
    return ("-p", context.platforms[0]) if len(context.platforms) == 1 else ()


def _all_passed(ran: Ran, folder: Path) -> None:
    if ran.unexpected:
        raise BenchFailed("not all cells passed", where=str(folder))
