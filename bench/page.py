"""How long the status page of many cells takes to make, how large it is, and how quickly a browser opens it."""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from results.conclude import conclude
from results.expectations import Expectations
from results.model import CellId, StepResult, Verdict
from results.page.gather import gather
from results.page.site import write_site
from results.runs import create_run
from results.seal import KEY, RESULT, make_seal

CELLS = 10_000
# Cells per row of the matrix: ten platforms, two kernels, five versions of QEMU.
PLATFORMS = [f"platform-{number}" for number in range(10)]
KERNELS = ("stock", "fixed")
QEMUS = ("8.2.2", "9.2.0", "10.0.13", "10.1.0", "11.0.1")
STEPS = 8
DOM0_LINES, DOMU_LINES = 60, 40
REPEATS = 5
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print JSON, return 0. Times in seconds, sizes in bytes."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.browser and not Path(CHROMIUM).exists():
        parser.error(f"there is no {CHROMIUM} to open the front page: install chromium, or say --no-browser")
    with tempfile.TemporaryDirectory(prefix="bench-page-") as name:
        folder = Path(name)
        store, out = folder / "state", folder / "page"
        os.environ["TESTBED_RESULTS"] = str(store)
        began = time.monotonic()
        make_store(store, options.cells)
        measured: dict[str, Any] = {"cells": options.cells, "store_s": _since(began)}
        began = time.monotonic()
        gather(root=store)
        measured["index_s"] = _since(began)
        began = time.monotonic()
        site = gather(root=store)
        measured["gather_s"] = _since(began)
        busy = _cpu()
        write_site(site, out)
        measured["page_s"] = _since(began)
        measured["page_cpu_s"] = round(_cpu() - busy, 2)
        began, busy = time.monotonic(), _cpu()
        write_site(gather(root=store), out)
        measured["again_s"], measured["again_cpu_s"] = _since(began), round(_cpu() - busy, 2)
        measured |= _sizes(out)
        if options.browser:
            measured |= _opening(out / "index.html")
    json.dump(measured, sys.stdout, indent=1)
    print()
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    made.add_argument("--cells", type=int, default=CELLS, help="default: %(default)s")
    made.add_argument("--no-browser", dest="browser", action="store_false", help="do not open the front page")
    return made


def make_store(root: Path, cells: int, seed: int = 1) -> None:
    """Write one run of `cells` cells with steps, two consoles, a QMP transcript and a seal each. Raises OSError."""
    draw = random.Random(seed)  # noqa: S311  (nothing here is a secret)
    run = create_run(["bench"], root=root)
    started = datetime.now(UTC) - timedelta(hours=5)
    for number, cell in zip(range(cells), _cells(), strict=False):
        _write_cell(run.directory / "cells" / cell.id, run.id, cell, started + timedelta(seconds=number), draw)


def _cells() -> Iterator[CellId]:
    number = 0
    while True:
        number += 1
        for platform, kernel, qemu in product(PLATFORMS, KERNELS, QEMUS):
            yield CellId(
                feature=f"feature-{number}",
                scenario=f"scenario-{number}",
                platform=platform,
                hypervisor="kvm-pr",
                kernel=kernel,
                qemu=qemu,
                firmware="slof",
                axes={"qemu": qemu},
            )


def _write_cell(directory: Path, run: str, cell: CellId, started: datetime, draw: random.Random) -> None:
    for folder in ("console", "qmp"):
        (directory / folder).mkdir(parents=True)
    steps = _steps(draw)
    result = conclude(
        run=run,
        cell=cell,
        declared=STEPS,
        steps=steps,
        started=started,
        elapsed=sum(step.elapsed for step in steps),
        facts={"kernel": f"6.1.176-{cell.kernel}", "seed": draw.getrandbits(32)},
        expectations=Expectations(),
    )
    (directory / "journal.jsonl").write_text(_journal(run, cell, steps, started))
    (directory / "qmp" / "machine.jsonl").write_text(_qmp(started))
    _console(directory / "console", "dom0", DOM0_LINES, "")
    _console(directory / "console", "u1", DOMU_LINES, "\x1b[32mok\x1b[0m \x08|")
    spec = {"cell": {"qemu": cell.qemu}, "kernel-identity": {"release": f"6.1.176-{cell.kernel}"}, "seed": 1}
    (directory / "run-spec.json").write_text(json.dumps(spec))
    data = result.model_dump(mode="json", by_alias=True)
    (directory / RESULT).write_text(json.dumps({**data, KEY: make_seal(directory, data)}))


def _steps(draw: random.Random) -> list[StepResult]:
    failing = draw.choice((None, None, None, 2, 6))
    found = []
    for index in range(STEPS):
        verdict = Verdict.FAIL if index == failing else Verdict.PASS
        found.append(
            StepResult(
                index=index,
                section="prepare" if index < 2 else "feature",
                verb=("boot-dom0", "create", "boots")[min(index, 2)],
                verdict=verdict,
                elapsed=round(draw.uniform(0.1, 5), 3),
                message="no answer <b>in time</b>" if verdict is Verdict.FAIL else "",
            )
        )
        if verdict is Verdict.FAIL:
            break
    return found


def _journal(run: str, cell: CellId, steps: Sequence[StepResult], started: datetime) -> str:
    declared = [{"section": step.section, "verb": step.verb} for step in steps]
    lines = [{"kind": "cell-start", "run": run, "cell": cell.model_dump(mode="json"), "declared": declared, "t": 0.0}]
    t = 0.0
    for step in steps:
        lines.append({"kind": "step-start", "index": step.index, "section": step.section, "verb": step.verb, "t": t})
        t += step.elapsed
        lines.append(
            {"kind": "step-end", "index": step.index, "verdict": step.verdict, "elapsed": step.elapsed, "t": t}
        )
    wall = [(started + timedelta(seconds=float(str(line["t"])))).isoformat() for line in lines]
    return "".join(json.dumps({"schema": 1, "wall": at, **line}) + "\n" for at, line in zip(wall, lines, strict=True))


def _qmp(started: datetime) -> str:
    lines = [{"t": 0.1, "greeting": {}, "wall": started.isoformat()}]
    lines += [{"t": 0.5 * number, "execute": "query-status", "arguments": {}} for number in range(1, 6)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def _console(folder: Path, name: str, count: int, ending: str) -> None:
    lines = [f"[{n * 0.1:12.6f}] pci 0000:00:{n:02x}.0: BAR 4 [mem 0x80080000-0x80083fff]\r\n" for n in range(count)]
    log, times = "", []
    for number, line in enumerate(lines):
        times.append(json.dumps({"t": number * 0.1, "offset": len(log), "guest": number * 0.1}) + "\n")
        log += line
    (folder / f"{name}.log").write_text(log + ending)
    (folder / f"{name}.timeline.jsonl").write_text("".join(times))


def _sizes(out: Path) -> dict[str, Any]:
    files = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    front = sum((out / name).stat().st_size for name in ("index.html", "page.css", "page.js", "icon.svg"))
    return {"front_bytes": front, "files": len(files), "bytes": sum(files)}


def _opening(front: Path) -> dict[str, Any]:
    """Return how long a browser takes from being told the address until the page is laid out and painted."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  (lazy: a measurement without it is one, too)

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(REPEATS):
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            began = time.monotonic()
            page.goto(front.as_uri())
            # The second frame begins when the first has been painted.
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            times.append(_since(began))
            page.close()
        browser.close()
    return {"open_s": sorted(times)[REPEATS // 2], "open_all_s": times}


def _cpu() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


if __name__ == "__main__":
    sys.exit(main())
