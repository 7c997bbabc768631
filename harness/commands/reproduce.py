"""`testbed reproduce`: a cell's machine by its bare command line, here or in an archive for somebody else."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from base import owner
from base.errors import EXIT_OK, EXIT_UNEXPECTED, UsageError
from base.files import sha256_file
from harness.live.again import find_cell
from harness.live.bundle import make_bundle
from harness.live.standalone import machine_of, recorded, standalone, written
from harness.resolve import resolve

SUFFIX = ".tar.gz"


def main(argv: Sequence[str]) -> int:
    """Print a cell's command lines, then start the machine on this terminal, or make an archive. Raises UsageError."""
    parser = argparse.ArgumentParser(
        prog="testbed reproduce",
        description="Print the QEMU command of a cell that has run, and start it with its console on this terminal:\n"
        "the same machine, kernel and arguments, without the harness. Ctrl-A x ends it, Ctrl-A c is the monitor.",
        epilog="example:  ./testbed reproduce last/domu-boot --bundle domu-boot.tar.gz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cell", help="RUN/CELL, a part of a cell's name, or the folder of its evidence")
    parser.add_argument("--print", action="store_true", dest="only_print", help="start nothing")
    parser.add_argument("--bundle", type=Path, metavar=f"F{SUFFIX}", help="make an archive that needs a QEMU alone")
    options = parser.parse_args(argv)
    ran = find_cell(options.cell)
    resolved = resolve(ran.spec)
    if options.bundle is not None:
        target = options.bundle.absolute()
        if not target.name.endswith(SUFFIX) or not target.parent.is_dir():
            raise UsageError(f"--bundle: {target} must be called *{SUFFIX}, in a folder that is there")
        make_bundle(ran, resolved, target)
        print(f"{target}: {target.stat().st_size >> 20} MiB, sha256 {sha256_file(target)}")
        return EXIT_OK
    if len(ran.spec.scenario.hosts) > 1:
        raise UsageError("this cell has two machines that are joined by a cable", hint="run it again: `./testbed run`")
    if resolved.loader is not None:
        raise UsageError("this cell boots from a disk that it makes", hint="--bundle makes the disk as well")
    if command := recorded(ran.directory):
        print(f"# as the cell started it ({ran.directory}):\n{command}\n")
    with tempfile.TemporaryDirectory(prefix="testbed-") as folder:
        machine = machine_of(ran.spec, resolved)
        args = standalone(machine, qmp=str(Path(folder, "qmp.sock")))
        whole = [*resolved.qemu.command, *args]
        print(f"# the same for a terminal:\n{written(whole)}", flush=True)
        if options.only_print:
            return EXIT_OK
        environment = {**owner.environment(), **resolved.qemu.environment}
        done = subprocess.run(["setpriv", "--pdeathsig", "KILL", "--", *whole], env=environment, check=False)
        if os.isatty(0):
            subprocess.run(["stty", "sane"], check=False)
    return EXIT_OK if done.returncode == 0 else EXIT_UNEXPECTED
