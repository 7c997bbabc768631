"""A person's terminal joined to a console: raw while joined, and as it was before on every way out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType

from base.errors import UsageError
from sim.console import Console, ConsoleClosed

# Ctrl-], as `xl console`, `virsh console` and telnet have it.
LEAVE = b"\x1d"
CHUNK = 4096


def require_terminal() -> None:
    """Raise UsageError unless standard input and output are a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a console needs a terminal", hint="for scripts: `./testbed run`")


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Put the terminal of standard input into raw mode, and back whatever happens.

    SIGTERM and SIGHUP end the block by SystemExit, so that it is left in order. Raises UsageError without a terminal.
    """
    require_terminal()
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    handlers = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(descriptor)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        # A guest may have left colours, a hidden cursor or another screen behind.
        sys.stdout.write("\x1b[0m\x1b[?25h\r\n")
        sys.stdout.flush()


def _end(number: int, _frame: FrameType | None) -> None:
    # 128 + n is how a shell reports an end by signal n.
    raise SystemExit(128 + number)


async def join(console: Console) -> None:
    """Join standard input and output to `console` until the person leaves or the console ends.

    The terminal must be in raw mode.
    """
    loop = asyncio.get_running_loop()
    left = asyncio.Event()
    descriptor = sys.stdin.fileno()

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def typed() -> None:
        data = os.read(descriptor, CHUNK)
        before, key, _ = data.partition(LEAVE)
        with contextlib.suppress(ConsoleClosed):
            if before:
                console.send(before)
        if key or not data:
            left.set()

    end_tap = console.tap(show)
    loop.add_reader(descriptor, typed)
    closed = asyncio.create_task(console.closed.wait())
    leaving = asyncio.create_task(left.wait())
    try:
        await asyncio.wait({closed, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        end_tap()
        for task in (closed, leaving):
            task.cancel()
