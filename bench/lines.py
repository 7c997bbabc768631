"""`console` and `latency`: how much a console carries, and how soon a step ends after its mark was printed."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import random
import re
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

from bench.cells import make_template, spec_of
from bench.context import Context
from bench.machines import answering
from bench.model import Measure, rounded
from harness.cell import Cell
from results.model import Verdict
from sim.console import CHUNK, Console
from sim.deadline import read_usage

BULK = 50 << 20
# The step that is timed waits on a dom0 of this platform, the bulk comes out of it, too.
PLATFORM = "g5"
LATENCY_MS, MARKS = 20.0, 300
# A mark comes so long after its step began to wait, at most (s): the step must be at rest.
LATE = 0.03
_END = b"\nthe end of it\n"
_MARK = re.compile(rb"<mark (\d+)>\r?\n")
# Known bytes that a guest makes quickly: the same line over and over, cut to size.
_LINE = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BULK_COMMAND = f"yes {_LINE} | head -c {BULK}"
_BULK_WITHIN = 300.0


def console(context: Context) -> None:
    """Send 50 MiB through a console: from a process at full speed, and out of a real dom0."""
    with context.place("console") as folder:
        context.tell("50 MiB from a process")
        speeds, lost = [], 0
        for number in range(context.times(3)):
            took, missing = asyncio.run(_pour(folder / str(number)))
            speeds.append(BULK / 1e6 / took)
            lost += missing
        _add(context, "from a process at full speed", speeds, lost)
    spec = spec_of("bench-dom0", PLATFORM, cold=False)
    with context.place("console-dom0") as folder:
        make_template(spec, folder, "dom0")
        context.tell(f"50 MiB out of dom0 ({PLATFORM})")
        took, missing = asyncio.run(_print(folder / "bulk"))
        _add(context, f"out of dom0 ({PLATFORM}, virtio-serial)", [BULK / 1e6 / took], missing)


def _add(context: Context, what: str, speeds: list[float], lost: int) -> None:
    samples = {"speed.MB/s": rounded(speeds)}
    context.add(Measure(bench="console", what=f"50 MiB {what}: bytes lost or changed", got=lost, asked=0))
    context.add(
        Measure(bench="console", what=f"50 MiB {what}", got=round(median(speeds), 1), unit="MB/s", samples=samples)
    )


async def _pour(folder: Path) -> tuple[float, int]:
    """Let another process write random bytes; returns seconds, and how many did not come (all, if any differs)."""
    folder.mkdir()  # noqa: ASYNC240  (one local folder)
    ours, theirs = socket.socketpair()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.Process(target=_write_bulk, args=(theirs, there))
    child.start()
    theirs.close()
    reader = Console("bulk", ours, folder, began=time.monotonic())
    await reader.open()
    began = time.monotonic()
    here.send(None)
    await reader.expect(re.escape(_END))
    took = time.monotonic() - began
    digest = here.recv()
    await reader.close()
    ours.close()
    child.join()
    return took, _missing(reader.log_path.read_bytes(), digest)


def _write_bulk(end: socket.socket, pipe: Connection) -> None:
    data = random.Random(1).randbytes(BULK - len(_END)) + _END  # noqa: S311  (bytes to compare, no secrets)
    pipe.recv()
    for at in range(0, len(data), CHUNK):
        end.sendall(data[at : at + CHUNK])
    pipe.send(hashlib.sha256(data).digest())


async def _print(folder: Path) -> tuple[float, int]:
    async with answering(spec_of("bench-dom0", PLATFORM, cold=False), folder) as cell:
        began = time.monotonic()
        answer = await cell.run("dom0", _BULK_COMMAND, _BULK_WITHIN)
        took = time.monotonic() - began
    line = f"{_LINE}\n".encode()
    wanted = (line * (BULK // len(line) + 1))[:BULK]
    return took, _missing(answer.output.encode(), hashlib.sha256(wanted).digest())


def _missing(came: bytes, digest: bytes) -> int:
    if hashlib.sha256(came).digest() == digest:
        return 0
    return abs(BULK - len(came)) or BULK


def latency(context: Context) -> None:
    """Time from the write of a mark, by another process, to the end of the step that waits for it."""
    spec = spec_of("bench-dom0", PLATFORM, cold=False)
    with context.place("latency") as folder:
        make_template(spec, folder, "dom0")
        context.tell(f"{MARKS} marks")
        times = asyncio.run(_time_marks(folder / "marks"))
    taken, starved, journal = ([part[number] for part in times] for number in range(3))
    samples = {"latency.ms": rounded(taken), "starved.ms": rounded(starved), "journal.ms": rounded(journal)}
    fair = [max(0.0, time - waited) for time, waited, _ in times]
    what = "from a mark printed to its step done"
    for name, value, asked in (
        ("median", median(taken), LATENCY_MS),
        ("99th percentile", _highest(taken), None),
        ("99th percentile without the time spent waiting for a CPU of the host", _highest(fair), LATENCY_MS),
        ("median of the journal's part, which waits for the disk", median(journal), None),
        ("99th percentile of the journal's part", _highest(journal), None),
    ):
        context.add(
            Measure(
                bench="latency",
                what=f"{what}, {name}",
                got=round(value, 2),
                unit="ms",
                asked=asked,
                note=f"{len(times)} steps",
                samples=samples if name == "median" else {},
            )
        )


def _highest(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


async def _time_marks(folder: Path) -> list[tuple[float, float, float]]:
    """Run steps as the worker does (wait, look for alarms, journal), each ended by a mark.

    Returns for each its time, how much of that we and QEMU waited for a CPU of the host, and the journal's part (ms).
    """
    async with answering(spec_of("bench-dom0", PLATFORM, cold=False), folder) as cell:
        ours, theirs = socket.socketpair()
        here, there = multiprocessing.Pipe()
        child = multiprocessing.Process(target=_write_marks, args=(theirs, there))
        child.start()
        theirs.close()
        line = await cell.machine.open_console("marks", ours)
        try:
            return [await _step(cell, line, here, number) for number in range(MARKS)]
        finally:
            here.send(False)
            child.join()
            await cell.machine.close_console(line)
            ours.close()


async def _step(cell: Cell, line: Console, pipe: Connection, number: int) -> tuple[float, float, float]:
    cell.journal.step_start(number, "feature", "mark")
    began = _starved(cell)
    pipe.send(True)
    found = await cell.machine.wait("a mark", line.expect(_MARK), cell.budget(30))
    await cell.machine.check()
    answered = time.monotonic_ns()
    cell.journal.step_end(number, Verdict.PASS, 0.0)
    done = time.monotonic_ns()
    return (done - int(found.groups[0])) / 1e6, _starved(cell) - began, (done - answered) / 1e6


def _starved(cell: Cell) -> float:
    """Return how long our thread and QEMU's main thread have waited for a CPU (ms); at rest neither does."""
    qemu = cell.machine.process.pid
    return sum(read_usage(pid, [pid]).starved for pid in (os.getpid(), qemu)) * 1e3


def _write_marks(end: socket.socket, pipe: Connection) -> None:
    while pipe.recv():
        time.sleep(random.uniform(LATE / 3, LATE))  # noqa: S311  (no secret)
        os.write(end.fileno(), b"<mark %d>\n" % time.monotonic_ns())
    end.close()
