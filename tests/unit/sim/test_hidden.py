"""An interrupt controller that its kernel has hidden from itself: told from QEMU's account of its PCI devices."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from sim import hidden
from sim.errors import ControllerHidden, QmpFailed
from sim.hidden import UNMAPPED, watch


def _device(vendor: int, number: int, *addresses: int, kind: str = "memory", **more: Any) -> dict[str, Any]:
    regions = [{"bar": bar, "type": kind, "address": address} for bar, address in enumerate(addresses)]
    return {"id": {"vendor": vendor, "device": number}, "regions": regions, **more}


def _buses(*devices: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"bus": 0, "devices": list(devices)}]


MAC_IO = _device(0x106B, 0x22, UNMAPPED)


@pytest.mark.parametrize(
    ("buses", "is_hidden"),
    [
        (_buses(_device(0x106B, 0x22, 0x8000_0000)), False),
        (_buses(MAC_IO), True),
        (_buses(_device(0x106B, 0x22, UNMAPPED, 0x8000_0000)), False),
        # Another's is another's, and what is no memory does not count.
        (_buses(_device(0x106B, 0x4B, UNMAPPED), _device(0x106B, 0x22, 0x8000_0000)), False),
        (_buses(_device(0x106B, 0x22, UNMAPPED, kind="io")), False),
        (_buses(), False),
        (_buses(_device(1, 1, pci_bridge={"bus": 1, "devices": [MAC_IO]})), True),
        (_buses(_device(1, 1, pci_bridge={"bus": 1})), False),
    ],
)
def test_it_is_hidden_if_none_of_its_memory_is_mapped(buses: list[dict[str, Any]], is_hidden: bool) -> None:
    assert hidden.hidden(buses, "106b:0022") is is_hidden


class _Qmp:
    """Answers each question by the next of `answers`, then by the last again and again."""

    def __init__(self, *answers: list[dict[str, Any]] | QmpFailed) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def probe(self, command: str) -> list[dict[str, Any]]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, QmpFailed):
            raise answer
        return answer


def _watched(qmp: _Qmp, monkeypatch: pytest.MonkeyPatch, *, runs: bool = True) -> int:
    """Watch until it raises or has asked 60 times; returns how often it has."""
    monkeypatch.setattr(hidden, "LOOK_EVERY", 0.005)
    monkeypatch.setattr(hidden, "HIDDEN_AFTER", 0.0 if runs else 1000.0)

    async def scene() -> None:
        exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = watch(qmp, "106b:0022", os.getpid(), [os.getpid()], exited)  # type: ignore[arg-type]
        watcher = asyncio.create_task(work)
        async with asyncio.timeout(20):
            while qmp.asked < 60 and not watcher.done():
                await asyncio.wait({watcher}, timeout=0.005)
            if not watcher.done():
                exited.set_result(None)
            await watcher

    asyncio.run(scene())
    return qmp.asked


def test_one_that_stays_hidden_while_the_machine_runs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ControllerHidden, match="can never be ended"):
        _watched(_Qmp(QmpFailed("busy"), _buses(), _buses(MAC_IO)), monkeypatch)


def test_one_that_is_only_being_sized_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = _buses(_device(0x106B, 0x22, 0x8000_0000))
    assert _watched(_Qmp(*[_buses(MAC_IO), mapped] * 30), monkeypatch) >= 60


def test_a_machine_that_hardly_runs_has_lost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _watched(_Qmp(_buses(), _buses(MAC_IO)), monkeypatch, runs=False) >= 60


def test_one_that_no_firmware_has_found_yet_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _watched(_Qmp(_buses(MAC_IO)), monkeypatch) >= 60
