"""`testbed bench`: runs benchmarks, prints what was asked and what was got, keeps it as JSON."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import EXIT_INFRA, EXIT_OK, EXIT_UNEXPECTED, TestbedError, UsageError
from base.yamlmodel import suggest
from harness.choosing import count

if TYPE_CHECKING:
    from bench.context import Context
    from bench.model import Report

# Name -> module, function, and its line in --help. Those of LONG are run only when they are named.
BENCHMARKS: dict[str, tuple[str, str, str]] = {
    "warm-dom0": ("bench.starts", "warm_dom0", "dom0 answers: from a template / booted; booted / bare QEMU"),
    "warm-domu": ("bench.starts", "warm_domu", "the same of a domU"),
    "boot": ("bench.person", "boot", "a person at `testbed boot`: a typed answer, warm and cold"),
    "commands": ("bench.commands", "commands", "what a command costs in dom0 and in a domU"),
    "console": ("bench.lines", "console", "50 MiB through a console: all there, and how fast"),
    "latency": ("bench.lines", "latency", "from a mark printed to its step done"),
    "clones": ("bench.clones", "clones", "memory of eight clones / of eight cold starts"),
    "overhead": ("bench.matrix", "overhead", "CPU time of the harness / of its QEMUs"),
    "matrix": (
        "bench.matrix",
        "matrix",
        "seven rows: warm and parallel / cold / a naive script (minutes)",
    ),
    "whole": ("bench.matrix", "whole", "all scenarios: warm and parallel / cold and one by one (hours)"),
    "store": ("bench.store", "store", "the store of results with a million cells"),
    "soak": ("bench.soak", "soak", "many warm starts, many cells on a busy host: no red, no leak (half an hour)"),
}
LONG = ("matrix", "whole", "store", "soak")
PLATFORMS = ("g5", "pseries-970")
STARTS, LOADED = 300, 200


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed bench`."""
    lines = "\n".join(f"  {name:10} {text}" for name, (_, _, text) in BENCHMARKS.items())
    made = argparse.ArgumentParser(
        prog="testbed bench",
        description="Measure the test bed: each number against what is asked of it.\n\n"
        f"benchmarks (default: all but {', '.join(LONG)}):\n{lines}",
        epilog="A ratio is of two things that were measured in turn: neither the host nor its load is in it.\n"
        "exit codes: 0 all as asked, 1 something is not, 2 usage, 3 a benchmark could not be carried out",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", nargs="*", metavar="NAME", help="benchmarks, or `all`")
    made.add_argument("-p", "--platform", choices=PLATFORMS, help="only on this platform")
    made.add_argument("--repeat", type=count, metavar="N", help="measure so often (default: each has its own)")
    made.add_argument("--starts", type=count, metavar="N", default=STARTS, help=f"soak: warm starts ({STARTS})")
    made.add_argument("--loaded", type=count, metavar="N", default=LOADED, help=f"soak: cells under load ({LOADED})")
    made.add_argument("--json", type=Path, metavar="F", help="write the report as JSON")
    made.add_argument("--svg", type=Path, metavar="F", help="draw where the seconds of a start go")
    made.add_argument("--from", type=Path, metavar="F", dest="report", help="measure nothing: take this report")
    return made


def main(argv: Sequence[str]) -> int:
    """Run benchmarks; returns 0 if all is as asked, 1 if not, 3 if one could not be carried out."""
    options = parser().parse_args(argv)
    names = choose(options.name)
    for target in (options.json, options.svg):
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(f"cannot write {target}: its folder does not exist")
    report = _read(options.report) if options.report else _measure(names, options)
    _print(report)
    _write(report, options)
    if report.failed:
        return EXIT_INFRA
    return EXIT_OK if all(measure.ok for measure in report.measures) else EXIT_UNEXPECTED


def choose(words: Sequence[str]) -> list[str]:
    """Return the benchmarks that are asked for, in their own order. Raises UsageError for an unknown name."""
    for word in words:
        if word != "all" and word not in BENCHMARKS:
            raise UsageError(f"no benchmark '{word}'{suggest(word, [*BENCHMARKS, 'all'])}")
    if not words:
        return [name for name in BENCHMARKS if name not in LONG]
    return [name for name in BENCHMARKS if "all" in words or name in words]


def _measure(names: Sequence[str], options: argparse.Namespace) -> Report:
    from base.files import atomic_write  # noqa: PLC0415  (lazy: `--help` stays quick)
    from base.paths import results_root  # noqa: PLC0415
    from bench import environment  # noqa: PLC0415
    from bench.cells import spec_of  # noqa: PLC0415
    from bench.context import Context  # noqa: PLC0415
    from bench.model import Report  # noqa: PLC0415
    from harness.display import Display  # noqa: PLC0415

    started, began, load = datetime.now(UTC), time.monotonic(), environment.load()
    platforms = (options.platform,) if options.platform else PLATFORMS
    folder = results_root() / "bench" / f"{started:%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    context = Context(folder, platforms, options.repeat, print, (options.starts, options.loaded))
    failed: dict[str, str] = {}
    with Display("bench") as display:
        # Images are made before anything is measured.
        qemu = spec_of("bench-dom0", platforms[0], cold=True).cell.qemu
        for name in names:
            module, function, _ = BENCHMARKS[name]
            trouble = _carry_out(name, getattr(importlib.import_module(module), function), context, display.report)
            if trouble:
                failed[name] = trouble
    report = Report(
        started=started,
        elapsed=round(time.monotonic() - began, 1),
        command=("testbed", "bench", *sys.argv[2:]),
        environment=environment.describe(qemu, load),
        measures=tuple(context.measures),
        profiles=tuple(context.profiles),
        failed=failed,
    )
    atomic_write(folder / "report.json", report.model_dump_json(by_alias=True, indent=1) + "\n")
    print(f"report: {folder / 'report.json'}")
    return report


def _carry_out(name: str, function: Callable[[Context], None], context: Context, report: Callable[..., None]) -> str:
    """Run one benchmark; returns what went wrong, if anything did."""
    from base.progress import Event  # noqa: PLC0415

    context.tell = lambda text: report(Event(name, "running", detail=text))
    context.tell("")
    try:
        function(context)
    except (TestbedError, OSError) as error:
        report(Event(name, "failed", detail=str(error)))
        return str(error)
    report(Event(name, "done"))
    return ""


def _read(path: Path) -> Report:
    from pydantic import ValidationError  # noqa: PLC0415

    from bench.model import Report  # noqa: PLC0415

    try:
        return Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is no report of `testbed bench`: {error}") from error


def _print(report: Report) -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from results.render import wide_console  # noqa: PLC0415

    about = report.environment
    host = f"{about.cpu}, {about.cores} CPUs, load {about.load[0]} to {about.load[1]}"
    title = f"{host}; QEMU {about.qemu}; {about.commit}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAVY)
    table.add_column("benchmark", no_wrap=True)
    table.add_column("what", overflow="fold")
    for name in ("asked", "got"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("from", style="dim", overflow="fold")
    for measure in report.measures:
        asked = "" if measure.asked is None else f"{'>=' if measure.least else '<='} {measure.asked:g}"
        word = "" if measure.asked is None else "[bold green]ok[/]" if measure.ok else "[bold red]NO[/]"
        table.add_row(measure.bench, measure.what, asked, f"{measure.got:g} {measure.unit}".strip(), word, measure.note)
    console = wide_console()
    console.print(table)
    for name, trouble in report.failed.items():
        console.print(f"{name} could not be carried out: {trouble}", markup=False, soft_wrap=True)


def _write(report: Report, options: argparse.Namespace) -> None:
    from base.files import atomic_write  # noqa: PLC0415
    from bench.plot import draw  # noqa: PLC0415

    if options.json is not None:
        atomic_write(options.json, report.model_dump_json(by_alias=True, indent=1) + "\n")
    if options.svg is not None:
        atomic_write(options.svg, draw(report))
