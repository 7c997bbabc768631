"""On which machine, and of which code, a benchmark's numbers are."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from base.paths import PROJECT
from bench.model import Environment

_SHORT = 12


def describe(qemu: str, began: float) -> Environment:
    """Return what the numbers depend on; `qemu` is the outer QEMU's version, `began` the load at the beginning."""
    return Environment(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        qemu=qemu,
        commit=_commit(),
        load=(round(began, 2), round(load(), 2)),
    )


def load() -> float:
    """Return the host's load average of the last minute."""
    return os.getloadavg()[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "cpu"):
            return value.strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit of the checkout, `+` if it was changed since; `unknown` where there is no git."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit[:_SHORT]}{'+' if changes else ''}" if commit else "unknown"


def _git(*words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
