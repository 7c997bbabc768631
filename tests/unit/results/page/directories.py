"""Result directories with all kinds of evidence, as a worker leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from base.paths import results_root
from results.conclude import conclude
from results.expectations import Expectations
from results.journal import Journal
from results.model import StepPlan
from results.page.gather import gather
from results.page.model import Site
from results.page.site import write_site
from results.runs import RUN, Run, RunRecord, read_run
from tests.unit.results.builders import cell, steps

BOOT = (
    b"\r\n>> OpenBIOS 1.1\r\n[    0.000000] Linux version 6.1.176\r\n[    0.100000] pci 0000:00:01.0: BAR 4\r\n"
    b"\x1b[1;32mok\x1b[0m booted\r\n~ # "
)


def run_at(hour: int) -> Run:
    """Make a run of that hour: names of runs that begin in the same second do not tell their order."""
    started = datetime(2026, 11, 24, hour, tzinfo=UTC)
    name = f"{started:%Y%m%dT%H%M%SZ}-abcdef"
    directory = results_root() / "runs" / name
    directory.mkdir(parents=True)
    (directory / RUN).write_text(RunRecord(id=name, started=started).model_dump_json())
    return read_run(directory)


def timeline(log: bytes, *, begin: float = 0.5, step: float = 0.25) -> bytes:
    """Return the times of a console's lines, as the harness writes them."""
    lines, offset = [], 0
    for number, line in enumerate(log.splitlines(keepends=True)):
        lines.append(json.dumps({"t": begin + number * step, "offset": offset, "guest": None}))
        offset += len(line)
    return ("\n".join(lines) + "\n").encode()


def rich(
    run: Run,
    letters: str = "pp|ppp",
    *,
    consoles: Mapping[str, bytes] | None = None,
    files: Mapping[str, bytes] | None = None,
    facts: Mapping[str, Any] | None = None,
    message: str = "",
    title: str = "",
    verbs: tuple[str, ...] = ("boot-dom0", "create", "boots", "console-answers", "powers-off"),
    spec: Mapping[str, Any] | None = None,
    expectations: Expectations | None = None,
    started: datetime | None = None,
    **changes: Any,
) -> Path:
    """Write a result directory with consoles, QMP, a run-spec and whatever `files` add, and return it."""
    given = cell(**changes)
    ran = [
        step.model_copy(update={"verb": verbs[step.index % len(verbs)], "message": message, "title": title})
        for step in steps(letters)
    ]
    directory = run.cell_directory(given)
    with Journal(directory) as journal:
        plan = [StepPlan(section=step.section, verb=step.verb, title=step.title) for step in ran]
        journal.cell_start(run.id, given, plan)
        wall = datetime.now(UTC).isoformat()
        for step in ran:
            journal.step_start(step.index, step.section, step.verb, step.title)
            journal.step_end(step.index, step.verdict, step.elapsed, step.message)
        _write(directory, consoles if consoles is not None else {"dom0": BOOT, "dom0-command": b"~ # true\r\n"}, wall)
        content = {"cell": {"qemu": given.qemu}, "kernel-identity": {"release": "6.1.176"}, **(spec or {})}
        _put(directory / "run-spec.json", json.dumps(content).encode())
        for name, data in (files or {}).items():
            _put(directory / name, data)
        result = conclude(
            run=run.id,
            cell=given,
            declared=len(ran),
            steps=ran,
            started=started or datetime.now(UTC),
            elapsed=sum(step.elapsed for step in ran),
            facts=facts or {},
            expectations=expectations or Expectations(),
        )
        journal.finish(result)
    return directory


def _write(directory: Path, consoles: Mapping[str, bytes], wall: str) -> None:
    qmp = [{"t": 0.0, "greeting": {}, "wall": wall}, {"t": 0.2, "execute": "query-status", "arguments": {}}]
    qmp.append({"t": 1.0, "event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 0}})
    _put(directory / "qmp/machine.jsonl", "".join(json.dumps(line) + "\n" for line in qmp).encode())
    for name, log in consoles.items():
        _put(directory / f"console/{name}.log", log)
        _put(directory / f"console/{name}.timeline.jsonl", timeline(log))


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write(out: Path, site: Site | None = None, **options: int) -> Site:
    """Write the page of all results, or of `site`, and return what it was made from."""
    site = site or gather()
    write_site(site, out, **options)
    return site
