"""`testbed shell`: Python at a live machine."""

from __future__ import annotations

import argparse
import code
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from base.errors import EXIT_OK, UsageError
from harness.display import Display
from harness.live.api import Simulator
from harness.live.wish import add_arguments, wish

BANNER = """\
{machine!r}
  {name}, dom0{domu}        try: dom0.run("uname -a")   dom0.console   {name}.qmp("query-status")
  {name}.create("u1")   {name}.snapshot("x")   {name}.resume("x")   help({name})   Ctrl-D leaves"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed shell`."""
    made = argparse.ArgumentParser(
        prog="testbed shell",
        description="Python with a live machine in it, by its platform's name, and `dom0`, and with --domu `domu`.",
        epilog="examples:  ./testbed shell g5 --domu\n"
        "           ./testbed shell g5 --script try.py one two    run a program with the same names in it",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("platform", help="see `./testbed list platforms`")
    add_arguments(made)
    made.add_argument("--debugger", action="store_true", help="have gdb at hand: dom0.debugger()")
    made.add_argument("--script", type=Path, metavar="F", help="run this program in place of a prompt")
    made.add_argument("arguments", nargs="*", help="arguments of the program")
    return made


def main(argv: Sequence[str]) -> int:
    """Give a person, or a program, a machine; returns 0. Raises UsageError, and what the program raises."""
    options = parser().parse_args(argv)
    if options.script is not None and not options.script.is_file():
        raise UsageError(f"no program {options.script}")
    wanted = wish(options, debugger=options.debugger)
    with Display("shell") as display:
        machine = Simulator.of(wanted, display.report)
    with machine:
        names = names_of(machine)
        if options.script is not None:
            sys.argv = [str(options.script), *options.arguments]
            runpy.run_path(str(options.script), names, "__main__")
        else:
            _talk(machine, names)
    return EXIT_OK


def names_of(machine: Simulator) -> dict[str, Any]:
    """Return the names that the person finds there."""
    called = machine.session.cell.spec.platform.name.replace("-", "_")
    names: dict[str, Any] = {called: machine, "machine": machine, "dom0": machine.dom0}
    return {**names, "domu": machine.domu} if machine.domus else names


def _talk(machine: Simulator, names: dict[str, Any]) -> None:
    import readline  # noqa: PLC0415  (it changes how this terminal reads)
    import rlcompleter  # noqa: PLC0415

    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    banner = BANNER.format(machine=machine, name=next(iter(names)), domu=", domu" if "domu" in names else "")
    code.interact(banner=banner, local=names, exitmsg="")
