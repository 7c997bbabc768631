"""Just enough of gdb's remote serial protocol to write registers through QEMU's stub (gdb manual, appendix E)."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Literal, Self

from sim.errors import SimError

# Registers by gdb's numbers (gdb, features/rs6000/power64-core.xml).
PC, MSR = 64, 65


class StubRefused(SimError):
    """The stub answered with an error, with what was not expected, or not at all."""


class StubClient:
    """A connection to a stub, whose machine stands still until `leave`."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    async def __aenter__(self) -> Self:
        self._end.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def learn(self) -> None:
        """Ask what registers there are, as QEMU 7.2 wants of whoever writes one. Raises StubRefused."""
        request = "qXfer:features:read:target.xml:0,1"
        if not (answer := await self._ask(request)).startswith(("m", "l")):
            raise StubRefused(f"the gdb stub said '{answer}' to '{request}'")

    async def select(self, cpu: int) -> None:
        """Mean this CPU (from 0) by what follows. Raises StubRefused."""
        await self._must(f"Hg{cpu + 1:x}")

    async def write(self, register: int, value: int, order: Literal["big", "little"]) -> None:
        """Write a 64-bit register in the order of bytes that the CPU has just now. Raises StubRefused."""
        await self._must(f"P{register:x}={value.to_bytes(8, order).hex()}")

    async def leave(self) -> None:
        """Let the machine go on. Raises StubRefused."""
        # By the number that QEMU gives its only process: it wants it said if a gdb was here before.
        await self._must("D;1")

    async def _must(self, request: str) -> None:
        if (answer := await self._ask(request)) != "OK":
            raise StubRefused(f"the gdb stub said '{answer}' to '{request}'")

    async def _ask(self, request: str) -> str:
        try:
            self._writer.write(packet(request))
            await self._writer.drain()
            answer = await self._answer()
            # A stop that nobody asked for: the machine stands still because we came.
            while answer.startswith("T"):
                answer = await self._answer()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise StubRefused(f"the gdb stub hung up at '{request}'") from error
        return answer

    async def _answer(self) -> str:
        await self._reader.readuntil(b"$")
        answer = (await self._reader.readuntil(b"#"))[:-1].decode(errors="replace")
        await self._reader.readexactly(2)
        self._writer.write(b"+")
        return answer


def packet(data: str) -> bytes:
    """Return a packet: the data between `$` and `#`, and the sum of its bytes."""
    return f"${data}#{sum(data.encode()) & 0xFF:02x}".encode()
