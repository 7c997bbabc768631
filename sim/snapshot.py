"""A machine's state moved into files, and out of them into another QEMU.

Either all of it is in one stream, or, when the machine's memory is a file (`Ram`), the stream has only the rest: clones
then map that file, and share with each other what they do not write.
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

from sim.deadline import Budget
from sim.errors import SnapshotFailed
from sim.machine import Machine
from sim.spec import Ram

STATE, RAM = "state", "ram"
# Of a calm host, for a few hundred MiB to and from its page cache. The machine stands still meanwhile, so it is idle.
PATIENCE = Budget(work=30, idle=120, wall=240)
# QEMU limits a migration to 128 MiB/s unless it is told otherwise; a file needs no limit (bytes/s).
BANDWIDTH = 1 << 40
_ENDED = ("completed", "failed", "cancelled")
_CHUNK = 1 << 24


def memory_file(name: str, size: int) -> Ram:
    """Make memory of `size` MiB that is a file without a name in any folder. Raises OSError."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.truncate(descriptor, size << 20)
    return Ram(descriptor, private=False)


def saved_memory(folder: Path) -> Ram | None:
    """Open the memory that `save` left in a folder, for one more clone; None if the stream has it. Raises OSError."""
    path = folder / RAM
    return Ram(os.open(path, os.O_RDWR | os.O_CLOEXEC), private=True) if path.exists() else None


def copied_memory(folder: Path, name: str) -> Ram | None:
    """Copy that memory for a clone that will be saved in its turn; None if the stream has it. Raises OSError."""
    saved = saved_memory(folder)
    if saved is None:
        return None
    try:
        copy = memory_file(name, os.fstat(saved.descriptor).st_size >> 20)
        _copy(saved.descriptor, copy.descriptor)
    finally:
        os.close(saved.descriptor)
    return copy


async def save(machine: Machine, folder: Path) -> int:
    """Stop a machine and write its state into a folder; it stays stopped. Returns the bytes on disk.

    Its memory must be QEMU's own, or a file that is not private.

    Raises SnapshotFailed when QEMU cannot, QmpFailed, and as `Machine.wait`.
    """
    await machine.wait("the machine is saved", _send(machine, folder / STATE), PATIENCE)
    ram = machine.spec.ram
    if ram is not None:
        with (folder / RAM).open("wb") as stream:
            os.truncate(stream.fileno(), os.fstat(ram.descriptor).st_size)
            await asyncio.to_thread(_copy, ram.descriptor, stream.fileno())
    return sum(size_of(folder / name) for name in (STATE, RAM))


def size_of(path: Path) -> int:
    """Return what a file takes up on disk, in bytes; 0 if there is none."""
    return path.stat().st_blocks * 512 if path.exists() else 0


async def load(machine: Machine, folder: Path) -> None:
    """Let a machine that waits for a state (`MachineSpec.incoming`) take it in, and go on.

    Raises SnapshotFailed when QEMU cannot, QmpFailed, and as `Machine.wait`.
    """
    await machine.wait("the machine is resumed", _receive(machine, folder / STATE), PATIENCE)


async def go_on(machine: Machine) -> None:
    """Let a machine that was saved run on. Raises QmpFailed."""
    await machine.qmp.execute("cont")


async def _prepare(machine: Machine) -> None:
    wanted = {"events": True, "x-ignore-shared": machine.spec.ram is not None}
    capabilities = [{"capability": name, "state": state} for name, state in wanted.items()]
    await machine.qmp.execute("migrate-set-capabilities", capabilities=capabilities)


async def _send(machine: Machine, path: Path) -> None:
    await _prepare(machine)
    await machine.qmp.execute("migrate-set-parameters", max_bandwidth=BANDWIDTH)
    await machine.qmp.execute("stop")
    seen = len(machine.qmp.events)
    await machine.qmp.execute("migrate", uri=f"file:{path}")
    if await _finished(machine, seen) != "completed":
        outcome: dict[str, Any] = await machine.qmp.execute("query-migrate")
        raise SnapshotFailed(f"QEMU did not save the machine: {outcome.get('error-desc', outcome['status'])}")
    # QEMU says "completed" a moment before it is through ("Migration is not finalized yet"), and then says no more:
    # each question gives it a turn of its main loop.
    while (await machine.qmp.execute("query-status"))["status"] != "postmigrate":
        pass


async def _receive(machine: Machine, path: Path) -> None:
    await _prepare(machine)
    seen = len(machine.qmp.events)
    await machine.qmp.execute("migrate-incoming", uri=f"file:{path}")
    if await _finished(machine, seen) != "completed":
        raise SnapshotFailed("QEMU did not take the saved machine in: see qemu.log")
    await machine.qmp.execute("cont")


async def _finished(machine: Machine, since: int) -> str:
    event = await machine.qmp.event("MIGRATION", since=since, where=lambda event: event["data"]["status"] in _ENDED)
    return str(event["data"]["status"])


def _copy(source: int, target: int) -> None:
    """Copy what was ever written to a file to an empty one of its size; holes stay holes."""
    size = os.fstat(source).st_size
    end = 0
    while (start := _seek(source, end, os.SEEK_DATA)) < size:
        end = _seek(source, start, os.SEEK_HOLE)
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            start += os.sendfile(target, source, start, min(end - start, _CHUNK))


def _seek(descriptor: int, offset: int, whence: int) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole until the end
            return os.fstat(descriptor).st_size
        raise
