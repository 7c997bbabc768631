"""`testbed doctor`: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from base.errors import EXIT_INFRA, EXIT_OK, TestbedError
from base.paths import PROJECT, cache_root, results_root
from harness.hosttools import Tool, needed
from images.mirror import KEYRINGS, OVERRIDE, find_mirror

GIB = 1 << 30
DISK = 10 * GIB  # sources, builds and images of one hypervisor take about 6 GiB
MEMORY = 3 * GIB  # dom0 of 1-1.5 GiB in QEMU, and a compiler beside it
APT_HELPER = "/usr/lib/apt/apt-helper"
MIRROR_WAIT = 30  # seconds

DESCRIPTION = """\
Check this machine: Python, the Debian packages that builds and runs need, disk, memory, apt, and the folders
of caches and results. Changes nothing. Exit code 0 if all is there, 3 if something is missing."""


@dataclass(frozen=True)
class Check:
    """One line of the report: `found` is what is there, `step` what to do if it is not enough."""

    name: str
    ok: bool
    found: str
    step: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report and return 0, or 3 if something is missing."""
    parser = argparse.ArgumentParser(prog="testbed doctor", description=DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(argv)
    checks = examine()
    if options.json:
        print(json.dumps({"schema": 1, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        _print(checks)
    return EXIT_OK if all(check.ok for check in checks) else EXIT_INFRA


def examine() -> list[Check]:
    """Return all checks; one that itself breaks is reported as not passed."""
    made: list[Check] = []
    examinations: list[tuple[str, Callable[[], list[Check]]]] = [
        ("python", lambda: [_python()]),
        ("programs", lambda: [_tool(tool) for tool in needed(PROJECT)]),
        ("cache folder", lambda: [_writable("cache folder", cache_root(), "TESTBED_CACHE")]),
        ("results folder", lambda: [_writable("results folder", results_root(), "TESTBED_RESULTS")]),
        ("disk space", lambda: [_disk(cache_root())]),
        ("memory", lambda: [_memory()]),
        ("processors", lambda: [_processors()]),
        ("Debian keyring", lambda: [_keyring()]),
        ("Debian mirror", lambda: [_mirror()]),
    ]
    for name, examination in examinations:
        try:
            made += examination()
        except (OSError, TestbedError) as error:
            made.append(Check(name, False, str(error), "see the message"))
    return made


def _python() -> Check:
    version = platform.python_version()
    return Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer (Debian 12 has it)")


def _tool(tool: Tool) -> Check:
    present = tool.present()
    return Check(tool.command, present, "present" if present else tool.reason, f"apt-get install {tool.package}")


def _writable(name: str, folder: Path, variable: str) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check(name, False, f"{folder}: {error.strerror}", f"set {variable} to a folder of yours")
    return Check(name, True, str(folder))


def _disk(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    step = f"free {_gib(DISK - free)} there, or set TESTBED_CACHE to a larger disk; `./testbed images gc` may help"
    return Check("disk space", free >= DISK, f"{_gib(free)} free for {folder} ({_gib(DISK)} wanted)", step)


def _memory() -> Check:
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    step = "end other programs, or run one cell at a time (`./testbed run -n 1`)"
    return Check("memory", free >= MEMORY, f"{_gib(free)} available ({_gib(MEMORY)} wanted)", step)


def _processors() -> Check:
    return Check("processors", True, f"{len(os.sched_getaffinity(0))} usable")


def _keyring() -> Check:
    # Packages are verified with it, whatever distribution this is.
    found = next((path for path in KEYRINGS if Path(path).is_file()), None)
    return Check("Debian keyring", found is not None, found or "missing", "apt-get install debian-archive-keyring")


def _mirror() -> Check:
    """Read the mirror's index of a release through apt's own transport, which knows proxies and certificates."""
    mirror = find_mirror()
    url = f"{mirror.uri}/dists/stable/InRelease"
    if not Path(APT_HELPER).is_file():
        return Check("Debian mirror", False, f"{APT_HELPER} is missing", "apt-get install apt")
    with tempfile.TemporaryDirectory() as folder:
        command = [APT_HELPER, "-o", "Acquire::Retries=0", "download-file", url, f"{folder}/InRelease"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MIRROR_WAIT)
            trouble = (done.stderr.strip() or done.stdout.strip()) if done.returncode else ""
        except subprocess.TimeoutExpired:
            trouble = f"no answer in {MIRROR_WAIT} s"
    step = f"check the network and apt's proxy; another mirror: {OVERRIDE}=URL"
    return Check("Debian mirror", not trouble, f"{mirror.uri}{': ' if trouble else ''}{trouble}", step)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _print(checks: Sequence[Check]) -> None:
    from rich import box  # noqa: PLC0415  (lazy: `--help` stays quick)
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAVY)
    for head in ("", "what", "found", "next step"):
        table.add_column(head, overflow="fold")
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[bold red]missing[/]"
        table.add_row(mark, escape(check.name), escape(check.found), "" if check.ok else escape(check.step))
    console = Console()
    console.print(table)
    missing = sum(not check.ok for check in checks)
    console.print(f"{missing} of {len(checks)} are missing" if missing else "everything is there")
    if any(check.step.startswith("apt-get") and not check.ok for check in checks):
        console.print("`./testbed run` installs the Debian packages by itself")
