"""`testbed record`: a boot that can be replayed, instruction by instruction."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from base.errors import EXIT_OK, UsageError
from harness.display import Display
from harness.live.again import find_cell
from harness.live.folders import live_folder
from harness.live.recording import EVENTS, record
from harness.live.wish import Wish
from harness.plan import Choice
from harness.specs import make_spec
from sim.platform import load_platforms

WITHIN = 600.0


def main(argv: Sequence[str]) -> int:
    """Record a boot; returns 0. Raises UsageError, and what a boot raises that goes wrong."""
    parser = argparse.ArgumentParser(
        prog="testbed record",
        description="Let QEMU record a boot of dom0, to its shell's prompt, for `./testbed replay`.",
        epilog="What people or the harness type is not recorded by QEMU for these machines, so nothing is typed.",
    )
    parser.add_argument("target", help="a platform, or a cell that has run, whose machine is booted")
    parser.add_argument("--kernel", metavar="F", help="a kernel column, or the file of your own vmlinux")
    parser.add_argument("--append", metavar="ARGS", default="", help="more arguments for dom0's kernel")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a folder to make")
    options = parser.parse_args(argv)
    if options.out.exists():
        raise UsageError(f"--out: {options.out} is there already")
    with Display("record") as display:
        if options.target in load_platforms():
            chosen = Choice(platform=options.target, kernel=options.kernel, append=options.append)
            spec = make_spec(Wish(options.target, chosen).plan(), "record", display.report)
        else:
            spec = find_cell(options.target).spec
    spec = spec.model_copy(update={"templates": "none"})
    options.out.mkdir(parents=True)
    with live_folder(f"record-{spec.platform.name}") as folder:
        said = asyncio.run(record(spec, folder, options.out.absolute(), WITHIN))
    size = (options.out / EVENTS).stat().st_size
    print(f"\n{options.out}: {len(said.splitlines())} lines of console, {size >> 10} KiB of events")
    return EXIT_OK
