"""A firmware that did not find the disk it should start from, through no fault of the disk's, is switched on again."""

from __future__ import annotations

import asyncio

from base.errors import InfraError
from harness.cell import Cell
from sim.machine import Machine

# On a host with twice as many busy threads as processors OpenBIOS missed its disk in half of its starts: then one of
# sixty goes on missing it.
RESETS = 5


async def dom0_speaks(cell: Cell, machine: Machine) -> None:
    """Wait until dom0 opens its command channel; each reset that it takes is noted in the journal.

    Raises InfraError when the firmware misses its disk again and again, QmpFailed, ConsoleClosed.
    """
    missed = machine.spec.platform.options(machine.spec.firmware).misses_disk
    if machine.spec.kernel is not None or not missed:
        await machine.command.hello()
        return
    hello = asyncio.create_task(machine.command.hello(), name="hello")
    try:
        for count in range(RESETS + 1):
            gave_up = asyncio.create_task(machine.console.expect(missed), name="missed")
            try:
                await asyncio.wait({hello, gave_up}, return_when=asyncio.FIRST_COMPLETED)
                if not gave_up.done():
                    await hello
                    return
                found = await gave_up
            finally:
                gave_up.cancel()
                await asyncio.wait({gave_up})
            if count == RESETS:
                break
            cell.journal.note(f"the firmware did not see its disk in time (`{found.text.decode()}`): reset {count + 1}")
            await machine.qmp.reset(reboots=machine.spec.may_reboot)
    finally:
        hello.cancel()
        await asyncio.wait({hello})
    raise InfraError(
        f"the firmware did not see its disk in time in {RESETS + 1} starts",
        hint="QEMU resets a drive in another thread, which this host does not let run soon enough: is it very busy?",
    )
