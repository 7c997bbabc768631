"""`testbed debug`: gdb at a live machine's domain, or at a cell in the moment that it fails."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from base.errors import EXIT_OK, EXIT_UNEXPECTED, UsageError
from harness.cell import Cell
from harness.display import Display
from harness.live.again import find_cell, with_debugger
from harness.live.devices import Devices
from harness.live.folders import live_folder
from harness.live.gdb_cli import debug
from harness.live.ptys import on_ptys
from harness.live.session import live_session
from harness.live.wish import DOMU, add_arguments, wish
from harness.runspec import RunSpec
from harness.specs import make_spec
from harness.worker import run_cell
from results.model import StepResult
from sim.errors import QmpFailed
from sim.platform import DOM0, load_platforms


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed debug`."""
    made = argparse.ArgumentParser(
        prog="testbed debug",
        description="gdb at dom0, or at a domU under the hypervisor: with the symbols of the kernel that runs there,\n"
        "architecture and endianness set. `kbreak FUNCTION` sets breakpoints. The consoles are on terminals of\n"
        "their own meanwhile (`screen /dev/pts/N`), and in the log.",
        epilog="examples:  ./testbed debug g5                            stops dom0\n"
        "           ./testbed debug g5 --domain u1                 ... or a domU, which it has first\n"
        "           ./testbed debug g5 --domu -e 'kbreak kvmppc_handle_exit_pr' -e continue -e bt\n"
        "           ./testbed debug last/save-restore --at-failure  runs a red cell, and stops where it fails",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("target", help="a platform, or a cell that has run: RUN/CELL, or a part of its name")
    add_arguments(made)
    made.add_argument("--domain", default=DOM0, help="whom gdb holds (default: %(default)s)")
    made.add_argument(
        "-e", "--execute", metavar="CMD", action="append", default=[], help="a command of gdb's; then end"
    )
    made.add_argument("--script", metavar="F", type=Path, help="a file of gdb's commands, or Python if called *.py")
    made.add_argument("--at-failure", action="store_true", help="run the cell; gdb comes when a step fails")
    return made


def main(argv: Sequence[str]) -> int:
    """Debug; returns 0 if gdb ended well (with --at-failure: and the cell has failed), else 1. Raises UsageError."""
    options = parser().parse_args(argv)
    if options.script is not None and not options.script.is_file():
        raise UsageError(f"no file {options.script}")
    options.platform = options.target
    devices = Devices()
    with Display("debug") as display:
        if options.target in load_platforms():
            if options.at_failure:
                raise UsageError("--at-failure wants a cell, not a platform", hint="RUN/CELL, or a part of its name")
            options.domu = options.domu or options.domain == DOMU
            wanted = wish(options, debugger=True)
            spec, devices = wanted.adapt(make_spec(wanted.plan(), "debug", display.report)), wanted.devices
        else:
            spec = with_debugger(find_cell(options.target).spec, display.report)
    with live_folder(f"debug-{spec.platform.name}") as folder:
        print(f"evidence: {folder}", flush=True)
        if options.at_failure:
            return _at_failure(spec, folder, options)
        return asyncio.run(_debug(spec, folder, devices, options))


async def _debug(spec: RunSpec, folder: Path, devices: Devices, options: argparse.Namespace) -> int:
    async with live_session(spec, folder, devices) as session:
        await session.prepare()
        return await _hold(session.cell, options)


async def _hold(cell: Cell, options: argparse.Namespace) -> int:
    consoles = {DOM0: cell.console(DOM0)} | {name: domain.console for name, domain in cell.domains.items()}
    with on_ptys(consoles) as paths:
        for name, path in paths.items():
            print(f"console of {name}: screen {path}", flush=True)
        status = await debug(cell, options.domain, execute=options.execute, script=options.script)
    return EXIT_OK if status == 0 else EXIT_UNEXPECTED


def _at_failure(spec: RunSpec, folder: Path, options: argparse.Namespace) -> int:
    """Run the cell again, cold or warm as it would be, and hold it where it fails."""
    statuses: list[int] = []

    async def stop(cell: Cell, step: StepResult) -> None:
        print(f"{step.verdict} at `{step.title}`: {step.message}", flush=True)
        # A domU's stub speaks through its dom0, which has to run for that.
        for machine in cell.machines if cell.is_host(options.domain) else ():
            try:
                await machine.qmp.execute("stop")
            except QmpFailed as error:
                print(f"its machine is gone: {error}", flush=True)
                return
        if not statuses:
            statuses.append(await _hold(cell, options))

    directory = folder / "cell"
    directory.mkdir()
    result = run_cell(spec, directory, at_failure=stop)
    if not statuses:
        print(f"the cell ended with {result.verdict}, and nothing to stop at: {shlex.quote(spec.cell.id)}")
        return EXIT_UNEXPECTED
    return statuses[0]
