"""OpenBIOS, which may overlook its disk: here there is none, so that it does so each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from base.errors import InfraError
from harness.cell import Cell
from harness.missed import RESETS, dom0_speaks
from sim.deadline import Budget
from sim.machine import Machine
from sim.spec import MachineSpec

Make = Callable[[str, str], MachineSpec]


class _Notes:
    """What `dom0_speaks` needs of a cell: a journal."""

    def __init__(self) -> None:
        self.journal = self
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_each_reset_is_noted_and_they_come_to_an_end(firmware_spec: Make, tmp_path: Path) -> None:
    cell = _Notes()

    async def scene() -> tuple[str, bool]:
        async with Machine(firmware_spec("g5", "openbios"), tmp_path) as machine:
            work = dom0_speaks(cast(Cell, cell), machine)
            with pytest.raises(InfraError, match=f"in {RESETS + 1} starts") as raised:
                await machine.wait("dom0 opens its command channel", work, Budget.of(60))
            status = await machine.qmp.execute("query-status")
            return str(raised.value.hint), bool(status["running"])

    hint, running = asyncio.run(scene())
    assert "very busy" in hint
    assert running, "a reset of ours is no shutdown"
    assert [note.rpartition(" ")[2] for note in cell.notes] == [str(number + 1) for number in range(RESETS)]
    log = (tmp_path / "console/dom0.log").read_bytes()
    assert log.count(b"Welcome to OpenBIOS") == RESETS + 1
