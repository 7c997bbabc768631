"""`testbed boot`: a person's console on a simulated machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from base.errors import EXIT_OK, TestbedError
from harness.display import Display
from harness.live.display import shown
from harness.live.folders import live_folder
from harness.live.person import Person
from harness.live.session import Session, live_session
from harness.live.wish import DOMU, Wish, add_arguments, wish
from harness.resolve import resolve
from harness.runspec import RunSpec
from harness.specs import make_spec
from sim.platform import DOM0
from sim.terminal import require_terminal, say

HINT = "Ctrl-] for the menu, twice to leave"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed boot`."""
    made = argparse.ArgumentParser(
        prog="testbed boot",
        description="Join this terminal to the console of a simulated machine: at once if one like it has booted\n"
        "before, else from switching it on. Ctrl-] shows a menu, a second one leaves.",
        epilog="examples:  ./testbed boot g5\n"
        "           ./testbed boot pseries-970 --domu        straight into a guest's console\n"
        "           ./testbed boot g5 --kernel ./vmlinux     your own kernel\n"
        "           ./testbed boot g5 --share . --net        this folder at /mnt/share, and a network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("platform", help="see `./testbed list platforms`")
    add_arguments(made)
    made.add_argument("--gdb", action="store_true", help="wait for a debugger before the first instruction")
    return made


def main(argv: Sequence[str]) -> int:
    """Hold a machine for a person; returns 0 when they left or switched it off. Raises UsageError, InfraError."""
    options = parser().parse_args(argv)
    wanted = wish(options)
    cell = wanted.plan()
    with Display("boot") as display:
        spec = wanted.adapt(make_spec(cell, "boot", display.report))
    require_terminal()
    with live_folder(options.platform) as folder:
        return asyncio.run(_boot(spec, folder, wanted, gdb=options.gdb))


async def _boot(spec: RunSpec, folder: Path, wanted: Wish, *, gdb: bool) -> int:
    args: tuple[str, ...] = ()
    if gdb:
        args = ("-gdb", f"unix:{folder / 'gdb'},server=on,wait=off", "-S")
        spec = spec.model_copy(update={"templates": "none"})
    if wanted.screen:
        display = shown(resolve(spec).qemu, folder)
        args += display.args
        say(display.told)
    say(f"{spec.platform.title}; {HINT}")
    async with live_session(spec, folder, wanted.devices, args=args) as session:
        if gdb:
            kernel = session.cell.machine_spec.kernel
            say(f"waiting for a debugger: gdb {kernel} -ex 'target remote {folder / 'gdb'}'")
        async with _prepared(session, wanted) as person:
            await person.meet()
    say(f"the log is in {folder}")
    return EXIT_OK


@contextlib.asynccontextmanager
async def _prepared(session: Session, wanted: Wish) -> AsyncIterator[Person]:
    """Get the machine ready while the person watches it boot; whom a domU was promised waits for that."""
    preparing = asyncio.create_task(session.prepare(), name="prepare")
    started = asyncio.create_task(session.cell.started.wait(), name="started")
    try:
        if wanted.domu:
            say("dom0 and a domU start ... (Ctrl-C ends it)")
            await preparing
        else:
            await asyncio.wait({preparing, started}, return_when=asyncio.FIRST_COMPLETED)
            if preparing.done():
                preparing.result()
        preparing.add_done_callback(lambda _: _tell(session, preparing))
        yield Person(session, DOMU if wanted.domu else DOM0)
    finally:
        for task in (preparing, started):
            task.cancel()
        await asyncio.gather(preparing, started, return_exceptions=True)


def _tell(session: Session, preparing: asyncio.Task[None]) -> None:
    """Tell how the machine came to be ready, or what kept it from it: the person goes on all the same."""
    if preparing.cancelled():
        return
    if (error := preparing.exception()) is not None:
        if not isinstance(error, TestbedError):
            raise error
        say(f"not as expected: {error}")
        return
    if session.template:
        say(f"ready, from template {session.template}")
        session.cell.console(DOM0).send("\r")
