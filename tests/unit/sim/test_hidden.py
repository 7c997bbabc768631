"""An interrupt controller that its kernel has hidden from itself: told from QEMU's account of its PCI devices."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest

from sim.errors import ControllerHidden, QmpFailed
from sim.hidden import HIDDEN_AFTER, UNMAPPED, ControllerWatch, hidden

if TYPE_CHECKING:
    from sim.qmp import Qmp


def _device(vendor: int, number: int, *addresses: int, kind: str = "memory", **more: Any) -> dict[str, Any]:
    regions = [{"bar": bar, "type": kind, "address": address} for bar, address in enumerate(addresses)]
    return {"id": {"vendor": vendor, "device": number}, "regions": regions, **more}


def _buses(*devices: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"bus": 0, "devices": list(devices)}]


MAC_IO = _device(0x106B, 0x22, UNMAPPED)
MAPPED, HIDDEN = _buses(_device(0x106B, 0x22, 0x8000_0000)), _buses(MAC_IO)


@pytest.mark.parametrize(
    ("buses", "is_hidden"),
    [
        (MAPPED, False),
        (HIDDEN, True),
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
    assert hidden(buses, "106b:0022") is is_hidden


class _Qmp:
    """Answers each question by the next of `answers`, then by the last again and again."""

    def __init__(self, *answers: list[dict[str, Any]] | QmpFailed) -> None:
        self._answers = list(answers)

    async def probe(self, command: str) -> list[dict[str, Any]]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, QmpFailed):
            raise answer
        return answer


def _looks(count: int, *answers: list[dict[str, Any]] | QmpFailed, runs: float = HIDDEN_AFTER) -> None:
    """Look so often at a machine that runs for so long (s) between two questions for that."""
    ran = itertools.count(0.0, runs)
    watch = ControllerWatch(cast("Qmp", _Qmp(*answers)), "106b:0022", lambda: next(ran))

    async def scene() -> None:
        for _ in range(count):
            with suppress(QmpFailed):
                await watch.look()

    asyncio.run(scene())


def test_one_that_stays_hidden_while_the_machine_runs_is_told() -> None:
    _looks(3, QmpFailed("busy"), MAPPED, HIDDEN)
    with pytest.raises(ControllerHidden, match="can never be ended"):
        _looks(4, QmpFailed("busy"), MAPPED, HIDDEN)


def test_one_that_is_only_being_sized_is_none() -> None:
    _looks(20, *[HIDDEN, MAPPED] * 10)


def test_a_machine_that_hardly_runs_has_lost_nothing() -> None:
    _looks(20, MAPPED, HIDDEN, runs=HIDDEN_AFTER / 100)


def test_one_that_no_firmware_has_found_yet_is_not_hidden() -> None:
    _looks(20, HIDDEN)
