"""A person's terminal joined to a console: raw while joined, and as it was before on every way out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from base.errors import UsageError
from sim.console import Console, ConsoleClosed

# Ctrl-], as `xl console`, `virsh console` and telnet have it.
ESCAPE = b"\x1d"
CHUNK = 4096
# Of what a console showed before it was joined, so much is shown again (bytes).
SHOWN_AGAIN = 2048


def require_terminal() -> None:
    """Raise UsageError unless standard input and output are a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a console needs a terminal", hint="for scripts: `./testbed shell --script`, `./testbed run`")


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


def say(text: str) -> None:
    """Tell the person something of our own, told from what the guest prints by `[testbed]`."""
    sys.stdout.write("".join(f"\x1b[1m[testbed]\x1b[0m {line}\r\n" for line in text.splitlines()))
    sys.stdout.flush()


class Keyboard:
    """What the person types, byte by byte; `open` and `close` it around its use. The terminal is in raw mode."""

    def __init__(self) -> None:
        self._typed = bytearray()
        self._news = asyncio.Event()
        self._ended = False

    def open(self) -> None:
        """Begin to read standard input."""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)

    def close(self) -> None:
        """Read no more."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), CHUNK)
        self._typed += data
        if not data:
            self._ended = True
            self.close()
        self._news.set()

    async def some(self) -> bytes:
        """Wait for what is typed next, all of it; nothing once the terminal has hung up."""
        while not self._typed and not self._ended:
            self._news.clear()
            await self._news.wait()
        data, self._typed = bytes(self._typed), bytearray()
        return data

    async def key(self) -> bytes:
        """Wait for one byte; nothing once the terminal has hung up."""
        data = await self.some()
        self._typed[:0] = data[1:]
        return data[:1]

    def put_back(self, data: bytes) -> None:
        """Let `data` be typed once more, before all else."""
        self._typed[:0] = data
        self._news.set()

    async def line(self, prompt: str) -> str | None:
        """Read a line that the terminal itself lets the person edit; None at Ctrl-D or a hang-up."""
        descriptor = sys.stdin.fileno()
        raw = termios.tcgetattr(descriptor)
        line = termios.tcgetattr(descriptor)
        line[0] |= termios.ICRNL
        line[1] |= termios.OPOST | termios.ONLCR
        line[3] |= termios.ICANON | termios.ECHO | termios.ECHOE | termios.ECHOK
        sys.stdout.write(prompt)
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, line)
        try:
            # An empty read is Ctrl-D here, and no hang-up.
            data = b""
            while b"\n" not in data:
                part = await self.some()
                if not part:
                    self._reopen()
                    return None
                # What was typed before the terminal edits lines ends them otherwise.
                data += part.replace(b"\r", b"\n")
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, raw)
        first, _, rest = data.partition(b"\n")
        self._typed[:0] = rest
        return first.decode(errors="replace").strip()

    def _reopen(self) -> None:
        self._ended = False
        self.open()


class Screen:
    """What the person sees of consoles: each byte once, however often they go from one to another."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    @contextlib.contextmanager
    def show(self, console: Console) -> Iterator[None]:
        """Show a console in the block, beginning with what it has printed since it was last shown."""
        with console.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._shown.get(console.name, 0), end - SHOWN_AGAIN))
            _write(log.read())

        def listen(data: bytes) -> None:
            nonlocal end
            end += len(data)
            _write(data)

        end_tap = console.tap(listen)
        try:
            yield
        finally:
            end_tap()
            self._shown[console.name] = end


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def join(console: Console, keyboard: Keyboard, screen: Screen) -> bool:
    """Join the person to a console until they press the escape key (True), or the console or terminal ends (False)."""
    with screen.show(console):
        closed = asyncio.create_task(console.closed.wait())
        typing = asyncio.create_task(_type(console, keyboard))
        try:
            await asyncio.wait({closed, typing}, return_when=asyncio.FIRST_COMPLETED)
            return typing.done() and typing.result()
        finally:
            for task in (closed, typing):
                task.cancel()
            await asyncio.wait({closed, typing})


async def _type(console: Console, keyboard: Keyboard) -> bool:
    while data := await keyboard.some():
        before, key, rest = data.partition(ESCAPE)
        with contextlib.suppress(ConsoleClosed):
            if before:
                console.send(before)
        if key:
            keyboard.put_back(rest)
            return True
    return False


@contextlib.contextmanager
def when_resized(act: Callable[[int, int], None]) -> Iterator[None]:
    """Call `act` with rows and columns of the terminal, now and whenever they change in the block."""

    def tell() -> None:
        rows, columns = termios.tcgetwinsize(sys.stdout.fileno())
        if rows and columns:
            act(rows, columns)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def show_console(console: Console) -> Iterator[None]:
    """Print what a console says in the block, wherever standard output goes."""
    end_tap = console.tap(_write)
    try:
        yield
    finally:
        end_tap()
