"""How long the store takes: the matrix of a million stored cells, an index made anew, two large runs compared.

`python -m bench.results [--cells N] [--folder DIR]` prints JSON. `seconds` are of the clock, `cpu` of processors: these
count on a host that is busy with other things.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from base.paths import PROJECT
from results.compare import compare, suspects
from results.conclude import conclude
from results.database import FILE, with_database
from results.expectations import Expectations
from results.index import MARGIN, SCHEMA, TABLES, Index, ask
from results.journal import JOURNAL
from results.model import CellId, StepResult, Verdict
from results.runs import CELLS, RUN
from results.seal import KEY, RESULT, make_seal
from results.sides import side_of_run
from results.store import Run, known_verdicts, latest_per_cell, list_runs

T = TypeVar("T")
STEPS = 8
# What a cell leaves, about: a console log, its time line, a QMP transcript (bytes).
EVIDENCE = {"console/dom0.log": 30_000, "console/dom0.timeline.jsonl": 60_000, "qmp/dom0.jsonl": 20_000}
PLATFORMS, KERNELS = ("g5", "pseries-970", "pseries-power9", "powernv9", "pc-xen"), ("stock", "fixed", "next", "own")
DIGEST = "0123456789abcdef" * 4


def measure(
    folder: Path, cells: int = 1_000_000, names: int = 1000, real: int = 2000, large: int = 10_000
) -> dict[str, Any]:
    """Measure everything in an empty folder.

    `cells` results of `names` different cells are in the index, of which the newest `names` have directories, for only
    those are looked at; `real` directories with evidence are read to make an index anew; `large` cells are in each of
    two runs that are compared.
    """
    return {
        "matrix": _matrix(folder / "matrix", cells, names),
        "rebuild": _rebuild(folder / "rebuild", real),
        "compare": _compare(folder / "compare", large),
    }


def _matrix(root: Path, cells: int, names: int) -> dict[str, Any]:
    count = max(1, cells // names)
    runs = [_run(root, number) for number in range(count)]
    for number in range(names):
        _result(runs[-1], _cell(number), bad=number % 20 == 0)
    _settle()
    latest_per_cell(root=root)
    filled, _ = _timed(lambda: with_database(root, SCHEMA, TABLES, lambda one: _fill(Index(root, one), runs)))
    latest, found = _timed(lambda: latest_per_cell(root=root))
    command = [sys.executable, "-P", "-m", "harness", "matrix", "--format", "json"]
    environment = {**os.environ, "TESTBED_RESULTS": str(root), "PYTHONPATH": str(PROJECT)}
    whole, done = _timed(lambda: subprocess.run(command, env=environment, capture_output=True, check=True))
    shown = len(json.loads(done.stdout)["cells"])
    if shown != names or len(found) != names:
        raise AssertionError(f"{shown} and {len(found)} cells were found, not {names}")
    return {
        "cells": count * names,
        "runs": count,
        "different": names,
        **whole,
        "of_that_the_store": latest,
        "filling": filled,
        "index_bytes": (root / FILE).stat().st_size,
    }


def _fill(index: Index, runs: Sequence[Run]) -> None:
    """Repeat what the index knows of the newest run for all older ones, whose folders are empty."""
    connection = index.connection
    columns = [row["name"] for row in connection.execute("PRAGMA table_info(results)") if row["name"] != "run"]
    listed = ", ".join(columns)
    connection.execute("BEGIN IMMEDIATE")
    for run in runs[:-1]:
        connection.execute(
            f"INSERT INTO results (run, {listed}) SELECT ?, {listed} FROM results WHERE run = ?",  # noqa: S608
            (run.id, runs[-1].id),
        )
        moment = (run.directory / CELLS).stat().st_mtime_ns
        connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, 1)", (run.id, moment))
    connection.execute("COMMIT")


def _rebuild(root: Path, real: int) -> dict[str, Any]:
    runs = [_run(root, number) for number in range(10)]
    for number in range(real):
        _result(runs[number % 10], _cell(number // 10), bad=number % 20 == 0, evidence=EVIDENCE)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    _settle()
    made, grown = _timed(lambda: _content(root))
    again, _ = _timed(lambda: _content(root))
    (root / FILE).unlink()
    anew = _content(root)
    if grown != anew:
        raise AssertionError("the index made anew differs")
    return {
        "directories": real,
        "bytes": size,
        **made,
        "per_second": round(real / made["seconds"]),
        "checked_again": again,
        "equals_the_one_that_grew": True,
    }


def _compare(root: Path, large: int) -> dict[str, Any]:
    before, after = _run(root, 0), _run(root, 1)
    for number in range(large):
        _result(before, _cell(number), bad=number % 20 == 0)
        _result(after, _cell(number), bad=number % 21 == 0, kernel="f" * 64)
    _settle()
    first, _ = _timed(lambda: latest_per_cell(root=root))

    def work() -> int:
        one, two = side_of_run(before), side_of_run(after)
        return len(compare(one, two, known_verdicts(suspects(one, two), root)).new_failures)

    compared, new = _timed(work)
    return {"cells": 2 * large, **compared, "new_failures": new, "indexing_before": first}


def _content(root: Path) -> list[tuple[Any, ...]]:
    runs = list_runs(root=root)

    def question(index: Index) -> list[tuple[Any, ...]]:
        index.sync(runs)
        index.of_runs(runs)
        return index.content()

    return ask(question, root)


def _run(root: Path, number: int) -> Run:
    started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    directory = root / "runs" / f"{started:%Y%m%dT%H%M%SZ}-{number:06x}"
    (directory / CELLS).mkdir(parents=True)
    record = {"schema": 1, "id": directory.name, "started": started.isoformat()}
    (directory / RUN).write_text(json.dumps(record))
    return Run(directory.name, directory, started, (), {})


def _cell(number: int) -> CellId:
    column, scenario = number % 20, number // 20
    return CellId(
        feature=f"f{scenario % 20}",
        scenario=f"s{scenario}",
        platform=PLATFORMS[column % 5],
        hypervisor="kvm-pr",
        kernel=KERNELS[column // 5],
    )


def _result(run: Run, cell: CellId, *, bad: bool, kernel: str = DIGEST, evidence: dict[str, int] | None = None) -> None:
    """Write a sealed result directory, without the waiting for the disk that a worker does after each step."""
    directory = run.directory / CELLS / cell.id
    directory.mkdir()
    last = Verdict.FAIL if bad else Verdict.PASS
    steps = [
        StepResult(index=number, section="feature", verb="run", title="run dom0", verdict=Verdict.PASS, elapsed=1.0)
        for number in range(STEPS - 1)
    ]
    steps.append(StepResult(index=STEPS - 1, section="feature", verb="boots", title="boots u1", verdict=last))
    result = conclude(
        run=run.id,
        cell=cell,
        declared=STEPS,
        steps=steps,
        started=run.started,
        elapsed=30.0,
        facts={"host.cpu": "bench", "testbed.code": DIGEST},
        expectations=Expectations(),
    )
    image = {"name": "image", "digest": DIGEST}
    spec = {"kernel": {**image, "digest": kernel}, "qemu": image, "scenario": {"name": cell.scenario}}
    (directory / "run-spec.json").write_text(json.dumps(spec))
    (directory / JOURNAL).write_text("{}\n" * STEPS * 2)
    for name, size in (evidence or {}).items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(1) * size)
    content = result.model_dump(mode="json", by_alias=True)
    content[KEY] = make_seal(directory, content)
    (directory / RESULT).write_text(json.dumps(content))


def _settle() -> None:
    """Let the files get older than the margin within which their times prove nothing."""
    time.sleep(MARGIN / 1e9 + 0.1)


def _timed(work: Callable[[], T]) -> tuple[dict[str, float], T]:
    """Do some work; returns the clock's seconds and those of CPUs, children's too, with what came of it."""
    before, began = os.times(), time.perf_counter()
    done = work()
    after = os.times()
    # The first four are user and system time, own and children's.
    cpu = sum(after[:4]) - sum(before[:4])
    return {"seconds": round(time.perf_counter() - began, 3), "cpu": round(cpu, 3)}, done


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-results.") as name:
        yield Path(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print JSON; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.results", description=__doc__)
    parser.add_argument(
        "--cells", type=int, default=1_000_000, help="stored cells of the matrix (default: %(default)s)"
    )
    parser.add_argument("--different", type=int, default=1000, help="different ones among them (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to work (default: the folder for temporary files)")
    options = parser.parse_args(argv)
    with _place(options.folder) as folder:
        print(json.dumps({"schema": 1, "results": measure(folder, options.cells, options.different)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
