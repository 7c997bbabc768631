"""`soak`: many warm starts in a row, and many warm cells on a host that is busy: nothing red, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from base import owner
from bench import cells, usage
from bench.context import Context
from bench.model import BenchFailed, Measure
from sim.templates import TemplateStore

# By so much the harness's own memory may have grown at the end (MiB): what Python's allocator keeps, no more.
GROWTH = 8
# The first starts load what is loaded lazily, and do not count.
SETTLED = 5


@dataclass
class _Watch:
    """What this process has, looked at after each start."""

    files: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    red: list[str] = field(default_factory=list)

    def look(self) -> None:
        self.files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208  (it counts itself each time alike)
        self.memory.append(usage.resident() / (1 << 20))


def soak(context: Context) -> None:
    """Start again and again, alone and then with all cores loaded."""
    starts, loaded = context.soak
    if starts:
        _add(context, f"{starts} warm starts of dom0", _repeat(context, "bench-dom0", "dom0", starts))
    if loaded:
        with busy():
            watch = _repeat(context, "bench-domu", "u1", loaded)
        _add(context, f"{loaded} warm cells with a domU, all cores loaded", watch)


def _repeat(context: Context, scenario: str, domain: str, count: int) -> _Watch:
    specs = [cells.spec_of(scenario, platform, cold=False) for platform in context.platforms]
    for spec in specs:
        with context.place("template") as folder:
            cells.make_template(spec, folder, domain)
    watch = _Watch()
    for number in range(count):
        context.tell(f"{scenario}: {number + 1} of {count}" + (f", {len(watch.red)} red" if watch.red else ""))
        try:
            with context.place(scenario) as folder:
                cells.start(specs[number % len(specs)], folder, domain)
        except BenchFailed as error:
            watch.red.append(str(error))
        watch.look()
    return watch


def _add(context: Context, what: str, watch: _Watch) -> None:
    settled = min(SETTLED, len(watch.files) - 1)
    growth = round(watch.memory[-1] - watch.memory[settled], 1)
    files = watch.files[-1] - watch.files[settled]
    samples = {"files": list(map(float, watch.files)), "memory.MiB": [round(size, 1) for size in watch.memory]}
    red = "; ".join(watch.red[:1])
    context.add(
        Measure(bench="soak", what=f"{what}: not passed", got=len(watch.red), asked=0, note=red, samples=samples)
    )
    for name, got, asked, unit in (
        ("processes left", len(_processes()), 0, ""),
        ("more open files", files, 0, ""),
        ("more memory of the harness", growth, GROWTH, "MiB"),
        ("template drafts left", len(_drafts()), 0, ""),
    ):
        context.add(Measure(bench="soak", what=f"{what}: {name}", got=got, unit=unit, asked=asked))


def _processes() -> list[int]:
    """Return the processes that were started for us and still run, but for the busy loops."""
    ours, loops = owner.environment()[owner.MARK], {child.pid for child in multiprocessing.active_children()}
    marked = {pid for pid, mark in owner.marked().items() if mark == ours}
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    return sorted((marked | children) - loops - {os.getpid(), os.getppid()})


def _drafts() -> list[Path]:
    """Return the drafts of templates that nobody is making."""
    found = []
    for draft in TemplateStore().root.glob(".*.draft"):
        try:
            with FileLock(draft.with_suffix(".lock"), timeout=0):
                found.append(draft)
        except Timeout:
            continue
    return found


@contextmanager
def busy() -> Iterator[None]:
    """Keep every CPU of the host busy with a loop, at our own priority."""
    loops = [multiprocessing.Process(target=_loop, daemon=True) for _ in range(os.cpu_count() or 1)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def _loop() -> None:
    while True:
        pass
