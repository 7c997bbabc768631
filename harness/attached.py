"""A gdb at a domain of a cell: its stub is opened, gdb has the symbols of what runs there, and lets go at the end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from harness.cell import Cell
from harness.gdb import Gdb, Stop, at_stub
from harness.verbs import StepFailed

BANNER_SIZE = 512


@dataclass(frozen=True)
class Opened:
    """A domain's stub: our `end` of it, the file with its kernel's symbols, and what closes the stub."""

    end: socket.socket
    symbols: Path
    close: Callable[[], Awaitable[None]]


async def open_stub_of(cell: Cell, name: str) -> Opened:
    """Open the stub of a domain, which stops. Raises StepFailed when no debugger is at hand, QmpFailed."""
    if cell.debugger is None:
        raise StepFailed("no debugger is at hand", hint="write `debugger: true` in the scenario")
    if cell.is_host(name):
        machine, symbols = cell.host(name).machine, cell.machine_spec.kernel
        assert symbols is not None
        return Opened(await machine.open_debugger(), symbols, machine.close_debugger)
    domain, domu_symbols = cell.domain(name), cell.debugger.domu_kernel
    assert domu_symbols is not None

    async def close() -> None:
        await cell.toolstack.close_debugger(domain)

    return Opened(await cell.toolstack.open_debugger(domain), domu_symbols, close)


@contextlib.asynccontextmanager
async def attached(cell: Cell, name: str) -> AsyncIterator[tuple[Gdb, Stop]]:
    """Attach gdb to a domain for the block. After an error the domain stays as it is, for whoever looks at it."""
    stub = await open_stub_of(cell, name)
    host = cell.host(name) if cell.is_host(name) else cell.domain(name).host
    assert cell.debugger is not None
    log = host.machine.evidence / "gdb" / f"{name}.mi"
    async with at_stub(cell.debugger, stub.symbols, stub.end, log, by_mode=cell.is_host(name)) as gdb:
        # Before it attaches, gdb reads from the file with the symbols.
        built = await banner_of(gdb)
        stop = await gdb.attach()
        async with gdb.as_kernel():
            running = await banner_of(gdb)
        if running != built:
            raise StepFailed(f"gdb has the symbols of `{built}`, {name} runs `{running}`")
        yield gdb, stop
        await gdb.detach()
    await stub.close()


async def banner_of(gdb: Gdb) -> str:
    """Return the words of `linux_banner`, in the file with the symbols or, once attached, in the domain."""
    raw = await gdb.read(await gdb.evaluate("&linux_banner"), BANNER_SIZE)
    return raw.partition(b"\0")[0].decode(errors="replace").strip()
