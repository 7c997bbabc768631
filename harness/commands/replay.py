"""`testbed replay`: a recorded boot once more, and whether it was the same."""

from __future__ import annotations

import argparse
import asyncio
import difflib
from collections.abc import Sequence
from pathlib import Path

from base.errors import EXIT_OK, EXIT_UNEXPECTED
from harness.commands.record import WITHIN
from harness.live.folders import live_folder
from harness.live.recording import read_recording, replay
from harness.resolve import resolve

SHOWN = 20
# With a debugger, a person decides how long it takes (s).
AT_LEISURE = 1e6


def main(argv: Sequence[str]) -> int:
    """Replay a boot; returns 0 if its console said the same, to the byte, else 1. Raises UsageError."""
    parser = argparse.ArgumentParser(
        prog="testbed replay",
        description="Replay a recorded boot, and compare what its console says. With --gdb it stops before the first\n"
        "instruction: a debugger sees the same run each time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", type=Path, help="a folder that `./testbed record` has made")
    parser.add_argument("--gdb", metavar="PORT", type=int, help="wait for a debugger at this TCP port of the host")
    options = parser.parse_args(argv)
    spec = read_recording(options.recording).spec
    args: tuple[str, ...] = ()
    within = WITHIN
    if options.gdb is not None:
        within = AT_LEISURE
        args = ("-gdb", f"tcp:127.0.0.1:{options.gdb}", "-S")
        print(f"gdb {resolve(spec).kernel} -ex 'target remote :{options.gdb}'", flush=True)
    with live_folder(f"replay-{spec.platform.name}") as folder:
        wanted, told = asyncio.run(replay(options.recording.absolute(), folder, within, args))
    if told == wanted:
        print(f"\nthe same: {len(wanted.splitlines())} lines, {len(wanted)} bytes")
        return EXIT_OK
    old, new = (said.decode(errors="replace").replace("\r", "").splitlines() for said in (wanted, told))
    changes = list(difflib.unified_diff(old[: len(new)], new, "recorded", "replayed", lineterm="", n=0))
    print("\n".join(["", *changes[:SHOWN]]))
    return EXIT_UNEXPECTED
