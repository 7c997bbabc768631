"""The mark by which processes of ours are known, so that none outlives its harness unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

MARK = "TESTBED_OWNER"


def start_ticks(pid: int) -> str | None:
    """Return when process `pid` started, in clock ticks since boot (proc(5), stat field 22); None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def environment() -> dict[str, str]:
    """Return the environment for a child process: ours, with this process named as its owner.

    An owner that is set already stays: workers and their children belong to the harness that began it all.
    """
    pid = os.getpid()
    return {MARK: f"{pid}:{start_ticks(pid)}", **os.environ}


def owner_lives(mark: str) -> bool:
    """Tell whether the owner named by a mark (`pid:start`) still runs."""
    pid, _, started = mark.partition(":")
    return pid.isdigit() and start_ticks(int(pid)) == started


def marked() -> dict[int, str]:
    """Return the processes of this machine that carry a mark, as pid -> mark. Those we may not read are left out."""
    found: dict[int, str] = {}
    needle = f"{MARK}=".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in entries:
            if entry.startswith(needle):
                found[int(folder.name)] = entry.removeprefix(needle).decode(errors="replace")
    return found
