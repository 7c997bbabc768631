"""A real gdb, steered by its machine interface, and the way by which it reaches a domain's stub."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from base import owner
from base.errors import InfraError, TestbedError
from harness.mi import NotMi, Record, parse

# Where gdb finds the stub, in its own folder: a path that is never too long for a socket.
ADDRESS = "stub"
CHUNK = 65536
LINE_LIMIT = 1 << 20
# The deadline is the step's, not gdb's: its own would count the clock of a busy host (s).
GDB_PATIENCE = 3600
SETTINGS = (
    "set confirm off",
    "set auto-load off",
    "set debuginfod enabled off",
    f"set remotetimeout {GDB_PATIENCE}",
    # A breakpoint is made when it is asked for, not when the domain goes on: see `as_kernel`.
    "set breakpoint always-inserted on",
    # What is stepped is one CPU; another one would run far meanwhile.
    "set scheduler-locking step",
)
# Bits of the machine state register (Power ISA, Book III): problem state; translation of instructions, of data.
MSR_PR, MSR_IR, MSR_DR = 1 << 14, 1 << 5, 1 << 4
# A breakpoint's condition for dom0: a guest of KVM-PR runs in problem state, at addresses that its kernel has as well.
IN_KERNEL = f"($msr & {MSR_PR:#x}) == 0"
# Where a 64-bit PowerPC Linux maps physical address 0, where it lies (CONFIG_PAGE_OFFSET).
KERNEL_START = 0xC << 60


class GdbRefused(TestbedError):
    """gdb answered a command with an error."""


@dataclass(frozen=True)
class Debugger:
    """A gdb to run: program with whatever must stand before it. `domu_kernel` holds the symbols of domUs, if any."""

    command: tuple[str, ...]
    domu_kernel: Path | None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Why and where the target stopped."""

    reason: str
    breakpoint: str
    address: int
    function: str


class Gdb:
    """A running gdb. Everything said goes to its transcript; waits have no deadline of their own.

    `by_mode`: the stub translates addresses in the mode that the CPU is in (see `as_kernel`).
    """

    def __init__(self, process: asyncio.subprocess.Process, transcript: TextIO, *, by_mode: bool) -> None:
        self._process = process
        self._by_mode = by_mode
        self._transcript = transcript
        self._stops: list[Stop] = []
        self._number = 0
        self._names: list[str] = []
        self._attached = False

    @classmethod
    async def start(cls, debugger: Debugger, symbols: Path, folder: Path, transcript: TextIO, *, by_mode: bool) -> Self:
        """Start gdb in a folder, with the symbols of a kernel. Raises InfraError when it cannot be run."""
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *debugger.command, "--nx", "--quiet", "--interpreter=mi3"]
        argv += [word for setting in SETTINGS for word in ("-iex", setting)]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                str(symbols),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=folder,
                env={**owner.environment(), **debugger.environment, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
                limit=LINE_LIMIT,
                process_group=0,
            )
        except OSError as error:
            raise InfraError(f"cannot run {argv[0]}: {error.strerror}", hint="see `./testbed doctor`") from error
        return cls(process, transcript, by_mode=by_mode)

    async def command(self, text: str) -> dict[str, Any]:
        """Give one command and return its results. Raises GdbRefused, InfraError when gdb is gone."""
        self._number += 1
        token = str(self._number)
        self._write(f"{token}{text}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{token}{text}\n".encode())
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise InfraError("gdb ended by itself") from error
        while True:
            record = await self._record()
            if record.kind == "^" and record.token == token:
                if record.name == "error":
                    raise GdbRefused(f"gdb: {text}: {record.values.get('msg', 'an error without a message')}")
                return record.values

    async def stopped(self) -> Stop:
        """Wait until the target stops, or take the oldest stop that nobody has asked for. Raises InfraError."""
        while not self._stops:
            await self._record()
        return self._stops.pop(0)

    async def _record(self) -> Record:
        assert self._process.stdout is not None
        while True:
            line = (await self._process.stdout.readline()).decode(errors="replace")
            if not line:
                raise InfraError("gdb ended by itself", where=str(self._transcript.name))
            self._write(line.rstrip())
            try:
                record = parse(line)
            except NotMi as error:
                raise InfraError(f"gdb said what we do not understand: {error}") from error
            if record is None:
                continue
            if record.kind == "*" and record.name == "stopped":
                self._stops.append(_stop(record.values))
            return record

    def _write(self, line: str) -> None:
        self._transcript.write(f"{line}\n")
        self._transcript.flush()

    async def attach(self) -> Stop:
        """Stop the domain and take hold of it. Raises GdbRefused."""
        await self.command(f"-target-select remote {ADDRESS}")
        self._attached = True
        return await self.stopped()

    async def detach(self) -> None:
        """Let go of the domain, which goes on, unless that was done. Raises GdbRefused."""
        if self._attached:
            await self.command("-target-detach")
            self._attached = False

    async def evaluate(self, expression: str) -> int:
        """Return the number that an expression is. Raises GdbRefused."""
        return int((await self.command(f'-data-evaluate-expression "(unsigned long)({expression})"'))["value"], 0)

    async def symbol(self, address: int) -> str:
        """Return what code is at an address (`schedule+16`), "" if gdb knows none there. Raises GdbRefused."""
        answer = await self.command(f'-data-evaluate-expression "(void (*)()) {address:#x}"')
        found = re.search(r"<(.+)>$", answer["value"])
        return found[1] if found else ""

    async def registers(self) -> dict[str, int]:
        """Return the whole-number registers of the CPU that stopped: r0 to r31, pc, msr, cr, lr, ctr, xer."""
        if not self._names:
            self._names = (await self.command("-data-list-register-names"))["register-names"]
        wanted = [*(f"r{number}" for number in range(32)), "pc", "msr", "cr", "lr", "ctr", "xer"]
        if missing := [name for name in wanted if name not in self._names]:
            raise GdbRefused(f"gdb: the stub has no register {', '.join(missing)}")
        numbers = " ".join(str(self._names.index(name)) for name in wanted)
        answer = await self.command(f"-data-list-register-values x {numbers}")
        return {self._names[int(each["number"])]: int(each["value"], 0) for each in answer["register-values"]}

    @contextlib.asynccontextmanager
    async def as_kernel(self) -> AsyncIterator[None]:
        """Reach what the kernel's linear mapping has in the block, wherever the domain stopped.

        A simulator translates addresses in the mode of the moment; QEMU under KVM does not look at it. A program may
        not see its kernel, and a guest of KVM-PR, which runs as a program of dom0's, has segments of its own, where
        those addresses are nothing or its own kernel's. A block that begins in problem state therefore has real mode.
        """
        msr = (await self.registers())["msr"]
        if not self._by_mode or not msr & MSR_PR:
            yield
            return
        await self.evaluate(f"$msr = {msr & ~(MSR_PR | MSR_IR | MSR_DR):#x}")
        yield
        await self.evaluate(f"$msr = {msr:#x}")

    async def read(self, address: int, length: int) -> bytes:
        """Read memory. Raises GdbRefused when not all of it can be read."""
        blocks = (await self.command(f"-data-read-memory-bytes {address:#x} {length}"))["memory"]
        data = bytes.fromhex("".join(block["contents"] for block in blocks))
        if len(data) != length:
            raise GdbRefused(f"gdb: {len(data)} of {length} bytes at {address:#x} can be read")
        return data

    async def write(self, address: int, data: bytes) -> None:
        """Write memory. Raises GdbRefused."""
        await self.command(f"-data-write-memory-bytes {address:#x} {data.hex()}")

    async def insert(self, symbol: str, condition: str = "") -> tuple[str, int]:
        """Set a breakpoint at the first instruction of a function; returns its number and address. Raises GdbRefused.

        It stops where `condition` is true. In big-endian kernels (ELFv1) a function's own name is its descriptor's; its
        code has a dot before it.
        """
        options = f'-c "{condition}" ' if condition else ""
        try:
            made = await self.command(f"-break-insert {options}\"*'.{symbol}'\"")
        except GdbRefused:
            try:
                made = await self.command(f"-break-insert {options}\"*'{symbol}'\"")
            except GdbRefused as error:
                raise GdbRefused(f"no breakpoint at {symbol}: {error}", hint="as `nm vmlinux` shows it") from error
        return made["bkpt"]["number"], int(made["bkpt"]["addr"], 0)

    async def delete(self, number: str) -> None:
        """Take a breakpoint away. Raises GdbRefused."""
        await self.command(f"-break-delete {number}")

    async def frames(self, most: int = 16) -> list[str]:
        """Return the functions of the backtrace, innermost first. Raises GdbRefused."""
        stack = (await self.command(f"-stack-list-frames 0 {most - 1}"))["stack"]
        return [frame.get("func", "??") for frame in stack]

    async def leave(self) -> None:
        """End gdb; what it holds it lets go. Never raises for one that is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _stop(values: dict[str, Any]) -> Stop:
    frame = values.get("frame", {})
    return Stop(
        reason=values.get("reason", ""),
        breakpoint=values.get("bkptno", ""),
        address=int(frame.get("addr", "0"), 0),
        function=frame.get("func", "??"),
    )


@contextlib.asynccontextmanager
async def at_stub(
    debugger: Debugger, symbols: Path, end: socket.socket, log: Path, *, by_mode: bool
) -> AsyncIterator[Gdb]:
    """Start a gdb whose address `stub` leads to `end`, a connected socket; both are gone when the block ends.

    The block begins before gdb attaches. Raises InfraError.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=log.parent) as name, log.open("a") as transcript:
        folder = Path(name)
        async with relayed(folder, end):
            gdb = await Gdb.start(debugger, symbols, folder, transcript, by_mode=by_mode)
            try:
                yield gdb
            finally:
                await gdb.leave()


@contextlib.asynccontextmanager
async def relayed(folder: Path, end: socket.socket) -> AsyncIterator[None]:
    """Let the first who connects to the socket `stub` in a folder speak to `end`, which the block's end closes."""
    with _listen(folder) as listener:
        relay = asyncio.create_task(_relay(listener, end), name=f"gdb-relay-{folder.name}")
        try:
            yield
        finally:
            relay.cancel()
            await asyncio.wait({relay})
            end.close()
    if not relay.cancelled():
        relay.result()


@contextlib.contextmanager
def _listen(folder: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    number = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        # Through the descriptor, because a socket's path may have no more than 107 bytes.
        listener.bind(f"/proc/self/fd/{number}/{ADDRESS}")
        listener.listen(1)
        listener.setblocking(False)
        yield listener
    finally:
        os.close(number)
        listener.close()


async def _relay(listener: socket.socket, end: socket.socket) -> None:
    """Carry bytes both ways between the first who connects and `end`, until one of them hangs up."""
    loop = asyncio.get_running_loop()
    end.setblocking(False)
    near, _ = await loop.sock_accept(listener)

    async def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):  # a hang-up in mid-sentence is a hang-up
            while data := await loop.sock_recv(source, CHUNK):
                await loop.sock_sendall(sink, data)

    with near:
        ways = {asyncio.create_task(carry(near, end)), asyncio.create_task(carry(end, near))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
