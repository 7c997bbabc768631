"""A serial console: every byte kept, every line stamped, patterns awaited and never missed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from base.errors import TestbedError
from sim.alarms import Alarm, AlarmRule, find_alarm

CHUNK = 1 << 16
# After a read of less than so many bytes, what follows is left to gather for so long (s).
FEW, GATHER = 512, 0.002
# A pattern may match across two reads by at most this many bytes.
OVERLAP = 4096
# Output that nobody waits for is kept this long for whoever waits next, and for excerpts.
KEEP = 1 << 20
# One command's output, or one wait's haystack, is not let grow beyond this.
LIMIT = 64 << 20
# After an alarm the console is read on until it has been silent this long (s), for the rest of an oops...
SETTLE_QUIET = 0.7
# ...but no longer than this (s): some kernels print for ever.
SETTLE_MOST = 4.0
EXCERPT_LINES = 60

_GUEST_TIME = re.compile(rb"\s*\[\s*(\d+\.\d+)\]")


class ConsoleClosed(TestbedError):
    """The other end of the console is gone."""


class ConsoleOverflow(TestbedError):
    """More came than a single wait may hold."""


@dataclass(frozen=True)
class Found:
    """What a wait ended with: the match's `text` and `groups`, and what came `before` it in this wait."""

    text: bytes
    groups: tuple[bytes, ...]
    before: bytes


@dataclass
class _Waiter:
    pattern: re.Pattern[bytes]
    start: int  # absolute offset from which a match counts
    scanned: int  # absolute offset up to which there is none
    future: asyncio.Future[Found]


class Console:
    """Reads a stream socket to the end, writes it to `NAME.log` with `NAME.timeline.jsonl` beside it.

    A timeline line is `{"t": host seconds, "offset": byte in the log, "guest": printk seconds or null}`;
    t counts from `began` (time.monotonic()). A line that one of `alarms` describes sets `alarm`.
    """

    def __init__(
        self, name: str, end: socket.socket, folder: Path, *, began: float, alarms: tuple[AlarmRule, ...] = ()
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.alarm: asyncio.Future[Alarm] = asyncio.get_running_loop().create_future()
        self._end = end
        self._began = began
        self.alarms = alarms
        # Set for a console whose alarm is awaited: it then ends no other wait.
        self.excused = False
        self._log = self.log_path.open("ab")
        # What a log has already is from before this console was read: offsets in the file count from there.
        self._kept = self._log.tell()
        self._timeline = (folder / f"{name}.timeline.jsonl").open("a")
        self._buffer = bytearray()
        self._base = 0  # absolute offset of the buffer's first byte
        self._line = 0  # absolute offset of the line that is not finished yet
        self._consumed = 0  # absolute offset behind the last match handed out
        self._waiters: list[_Waiter] = []
        self._alarm_at: tuple[int, str, str] | None = None
        self.closed = asyncio.Event()
        self._newest = began  # when something was printed last
        self._after_alarm = 0  # lines that came after the alarm's own
        self._enough = asyncio.Event()  # as many as its excerpt has
        self._taps: list[Callable[[bytes], None]] = []
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to read."""
        reader, self._writer = await asyncio.open_connection(sock=self._end, limit=CHUNK)
        # A socket's transport goes both ways.
        transport = cast("asyncio.Transport", self._writer.transport)
        self._reading = asyncio.create_task(self._read(reader, transport), name=f"console-{self.name}")

    async def close(self) -> None:
        """Stop reading, after what has already arrived, and close the files. Waiters get ConsoleClosed."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=0.2)
            self._reading.cancel()
            await asyncio.wait({self._reading})
        if self._settling is not None:
            self._settling.cancel()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._hang_up()
        self._log.close()
        self._timeline.close()

    @property
    def received(self) -> int:
        """How many bytes have come so far."""
        return self._base + len(self._buffer)

    def send(self, data: bytes | str) -> None:
        """Type `data`. Raises ConsoleClosed when nobody is there to read it."""
        if self.closed.is_set() or self._writer is None or self._writer.is_closing():
            raise ConsoleClosed(f"console {self.name} is closed", where=str(self.log_path))
        self._writer.write(data.encode() if isinstance(data, str) else data)

    def tap(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `listener` with every chunk from now on; returns what ends that."""
        self._taps.append(listener)
        return lambda: self._taps.remove(listener)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of output, for an error message."""
        text = bytes(self._buffer[-OVERLAP * 4 :]).decode(errors="replace").replace("\r", "")
        return "\n".join(text.splitlines()[-lines:])

    async def expect(self, pattern: str | bytes | re.Pattern[bytes]) -> Found:
        """Wait for the first match in what has come since the last match handed out.

        A match may span at most 4 KiB. Has no deadline of its own: the machine's `wait` puts one around it.
        Raises ConsoleClosed when the console ends first, ConsoleOverflow past 64 MiB.
        """
        compiled = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        start = max(self._consumed, self._base)
        waiter = _Waiter(compiled, start, start, asyncio.get_running_loop().create_future())
        self._scan(waiter)
        if not waiter.future.done():
            if self.closed.is_set():
                raise ConsoleClosed(f"console {self.name} is closed", where=str(self.log_path))
            self._waiters.append(waiter)
        try:
            return await waiter.future
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def _read(self, reader: asyncio.StreamReader, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(CHUNK):
                self.feed(data)
                # A guest prints byte by byte, and each would wake us: what follows the first comes together.
                if len(data) < FEW:
                    transport.pause_reading()
                    loop.call_later(GATHER, transport.resume_reading)
        except ConnectionError:
            pass  # QEMU is gone: the same as an end of file
        finally:
            self._hang_up()

    def feed(self, data: bytes) -> None:
        """Take in what the guest printed: keep, stamp, search."""
        now = self._newest = time.monotonic()
        self._log.write(data)
        self._log.flush()
        for tap in self._taps:
            tap(data)
        self._buffer += data
        self._stamp_lines(now - self._began)
        for waiter in list(self._waiters):
            self._scan(waiter)
        self._trim()

    def _stamp_lines(self, t: float) -> None:
        end = self._buffer.rfind(b"\n", max(0, self._line - self._base)) + 1
        if end <= 0:
            return
        block = bytes(self._buffer[self._line - self._base : end])
        offset = self._kept + self._line
        stamps = []
        for line in block.splitlines(keepends=True):
            guest = _GUEST_TIME.match(line)
            stamps.append(f'{{"t":{t:.4f},"offset":{offset},"guest":{guest[1].decode() if guest else "null"}}}\n')
            offset += len(line)
        self._timeline.write("".join(stamps))
        self._timeline.flush()
        if self.alarms and self._alarm_at is None:
            self._look_for_alarm(block)
        elif self._alarm_at is not None:
            self._after_alarm += len(stamps)
            if self._after_alarm > EXCERPT_LINES:
                self._enough.set()
        self._line = self._base + end

    def _look_for_alarm(self, block: bytes) -> None:
        found = find_alarm(block, self.alarms)
        if found is None:
            return
        line = found.line.decode(errors="replace").strip()
        self._alarm_at = (self._line + found.offset, found.name, line)
        self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        # The first of these to pass ends the reading; so do lines enough for an excerpt, and a hang-up.
        most = time.monotonic() + SETTLE_MOST
        while (left := min(most, self._newest + SETTLE_QUIET) - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), left)
                break
        self._raise_alarm()

    def _raise_alarm(self) -> None:
        if self._alarm_at is None or self.alarm.done():
            return
        offset, name, line = self._alarm_at
        text = bytes(self._buffer[max(0, offset - self._base) :]).decode(errors="replace").replace("\r", "")
        self.alarm.set_result(Alarm(name, line, "\n".join(text.splitlines()[:EXCERPT_LINES])))

    @property
    def alarming(self) -> bool:
        """Whether an alarm was seen; `alarm` is set a moment later, when its text is complete."""
        return self._alarm_at is not None

    def _scan(self, waiter: _Waiter) -> None:
        if waiter.future.done():
            return
        position = max(waiter.start, waiter.scanned - OVERLAP, self._base) - self._base
        found = waiter.pattern.search(self._buffer, position)
        if found is not None:
            before = bytes(self._buffer[waiter.start - self._base : found.start()])
            waiter.future.set_result(Found(found[0], found.groups(b""), before))
            self._consumed = max(self._consumed, self._base + found.end())
        elif self.received - waiter.start > LIMIT:
            waiter.future.set_exception(
                ConsoleOverflow(f"console {self.name}: over {LIMIT >> 20} MiB in one wait", where=str(self.log_path))
            )
        waiter.scanned = self.received

    def _trim(self) -> None:
        needed = min((w.start for w in self._waiters), default=self.received)
        keep_from = min(needed, self.received - KEEP, self._line)
        if self._alarm_at is not None and not self.alarm.done():
            keep_from = min(keep_from, self._alarm_at[0])
        # Moving the rest costs its length: only when there is a good deal to drop.
        if keep_from - self._base > KEEP:
            del self._buffer[: keep_from - self._base]
            self._base = keep_from

    def _hang_up(self) -> None:
        self.closed.set()
        self._enough.set()
        self._raise_alarm()
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(
                    ConsoleClosed(f"console {self.name} was closed while it was waited for", where=str(self.log_path))
                )
