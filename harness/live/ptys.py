"""Consoles on pseudo-terminals of the host, for people whose own terminal is taken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import Callable, Iterator, Mapping

from sim.console import Console, ConsoleClosed

CHUNK = 4096


@contextlib.contextmanager
def on_ptys(consoles: Mapping[str, Console]) -> Iterator[dict[str, str]]:
    """Give each console a pseudo-terminal for the block; returns their paths (`screen /dev/pts/7`) by the same names.

    What nobody reads there is dropped once its buffer is full; the console's log has all of it. Raises OSError.
    """
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(_on_pty(console)) for name, console in consoles.items()}


@contextlib.contextmanager
def _on_pty(console: Console) -> Iterator[str]:
    near, far = os.openpty()
    # The far end is kept open: without anybody there, reading the near one would fail.
    tty.setraw(far)
    os.set_blocking(near, False)
    end_tap = console.tap(_writer(near))
    loop = asyncio.get_running_loop()

    def typed() -> None:
        with contextlib.suppress(ConsoleClosed, BlockingIOError):
            console.send(os.read(near, CHUNK))

    loop.add_reader(near, typed)
    try:
        yield os.ttyname(far)
    finally:
        loop.remove_reader(near)
        end_tap()
        os.close(near)
        os.close(far)


def _writer(descriptor: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, data)

    return write
