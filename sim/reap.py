"""Ends what a killed harness left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from base import owner


@dataclass(frozen=True)
class Orphan:
    """A process of ours whose harness no longer lives."""

    pid: int
    command: str


def orphans() -> list[Orphan]:
    """Return the processes that carry our mark while the harness that it names is gone."""
    found = []
    for pid, mark in owner.marked().items():
        if pid == os.getpid() or owner.owner_lives(mark):
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found.append(Orphan(pid, b" ".join(words).decode(errors="replace").strip()))
    return found


def reap(tell: Callable[[Orphan], None], *, patience: float = 3.0) -> int:
    """End all orphans: SIGTERM, then SIGKILL after `patience` seconds. Returns how many there were."""
    doomed = orphans()
    processes = []
    for orphan in doomed:
        tell(orphan)
        try:
            process = psutil.Process(orphan.pid)
            process.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
        processes.append(process)
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=patience)
    return len(doomed)
