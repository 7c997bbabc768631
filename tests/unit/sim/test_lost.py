"""A CPU that QEMU has lost is told from one that sleeps, runs, or was stopped; and it can be woken."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from sim.lost import LostCpu, Watch, standing, wake
from sim.qmp import Qmp
from sim.rsp import StubRefused

# Of a real dom0 with four CPUs, of which the second was lost; shortened.
LOST = """
CPU#0
NIP c0000000000779e0   LR c0000000000799a4 CTR c000000000079900 XER 0000000000000000 CPU#0
MSR 800000000200b032 HID0 0000000060000000  HF 26102016 iidx 1 didx 1
TB 00000009 40186058206 DECR 1006654665
 SRR0 c0000000000779e0  SRR1 800000000200b032    PVR 0000000000440101 VRSAVE 0000000000000000

CPU#1
NIP 0000000000000900   LR c0000000000799a4 CTR c000000000079900 XER 0000000000000000 CPU#1
MSR 8000000000001000 HID0 0000000060000000  HF 6c100006 iidx 3 didx 3
TB 00000009 40186068190 DECR 3685841442
 SRR0 c0000000000764c0  SRR1 800000004208a032    PVR 0000000000440101 VRSAVE 0000000000000000
"""
FOUND = LostCpu(cpu=1, msr=0x8000000000001000, nip_before=0xC0000000000764C0, msr_before=0x800000000200A032)


def test_one_of_two_is_lost() -> None:
    assert standing(LOST) == [FOUND]
    assert standing(LOST.replace("\n", "\r\n")) == [FOUND]


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("NIP 0000000000000900", "NIP 0000000000000904"),  # it runs: it has done one instruction
        ("NIP 0000000000000900", "NIP c000000000000900"),  # not in real mode
        ("MSR 8000000000001000", "MSR 8000000000009000"),  # it takes interrupts
        ("SRR1 800000004208a032", "SRR1 8000000042082032"),  # it had not ceded
    ],
)
def test_others_are_not(what: str, instead: str) -> None:
    assert standing(LOST.replace(what, instead)) == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("MSR 8000000000001000", "MSR 8000000000000000"),  # a dom0 with one CPU
        ("NIP 0000000000000900", "NIP c000000000004900"),  # a POWER9, which stays translated
        ("NIP 0000000000000900", "NIP 0000000000000500"),
    ],
)
def test_so_is_this_one(what: str, instead: str) -> None:
    assert [found.cpu for found in standing(LOST.replace(what, instead))] == [1]


def test_nothing_is_told_of_a_silent_qemu() -> None:
    assert standing("") == []


async def _told(lost: LostCpu, answers: list[bytes]) -> list[bytes]:
    """Wake a CPU through a stub that gives these answers; returns what the stub was told."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    heard: list[bytes] = []

    async def stub() -> None:
        for answer in answers:
            await reader.readuntil(b"$")
            heard.append((await reader.readuntil(b"#"))[:-1])
            assert int(await reader.readexactly(2), 16) == sum(heard[-1]) % 256
            writer.write(b"+$" + answer + b"#00")
        writer.close()

    task = asyncio.create_task(stub())
    try:
        await wake([lost], ours)
    finally:
        await task
    return heard


def test_a_lost_cpu_gets_its_place_and_state_back() -> None:
    heard = asyncio.run(_told(FOUND, [b"m<"] + [b"OK"] * 4))
    assert heard == [
        b"qXfer:features:read:target.xml:0,1",
        b"Hg2",
        b"P40=c0000000000764c0",
        b"P41=800000000200a032",
        b"D;1",
    ]


def test_registers_go_in_the_order_of_bytes_that_the_cpu_has() -> None:
    heard = asyncio.run(_told(replace(FOUND, msr=0x8000000000001031), [b"m<"] + [b"OK"] * 4))
    assert heard[2] == b"P40=c0640700000000c0"


def test_a_stub_that_refuses_or_hangs_up_is_told() -> None:
    with pytest.raises(StubRefused, match="said 'E14' to 'P40="):
        asyncio.run(_told(FOUND, [b"l<", b"OK", b"E14"]))
    with pytest.raises(StubRefused, match="said '' to 'qXfer"):
        asyncio.run(_told(FOUND, [b""]))
    with pytest.raises(StubRefused, match="hung up at 'P41="):
        asyncio.run(_told(FOUND, [b"l<", b"OK", b"OK"]))


class _Asked:
    """A QEMU whose second CPU stands where the test says."""

    def __init__(self) -> None:
        self.where, self.registers, self.running = "0x900", LOST.partition("\n\n")[2], True

    async def probe(self, command: str, command_line: str = "", cpu_index: int = 0) -> object:
        if command == "query-status":
            return {"running": self.running}
        if cpu_index == 0:
            return "0xc0000000000779e0\r\n"
        return self.where if command_line == "p/x $pc" else self.registers


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Return a thread that sleeps."""
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    assert thread.native_id is not None
    state = Path(f"/proc/self/task/{thread.native_id}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "S":
        os.sched_yield()
    yield thread.native_id
    ends.set()


def test_only_a_cpu_that_stands_still_look_after_look_is_lost(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _Asked()
    watch = Watch(cast("Qmp", asked), os.getpid(), {0: sleeper, 1: sleeper})
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)

    def look(after: float) -> tuple[list[LostCpu], list[LostCpu]]:
        nonlocal now
        now += after
        return asyncio.run(watch.look()), watch.suspected

    assert look(0) == ([], [])
    assert look(1) == ([], [FOUND])
    assert look(2) == ([FOUND], [FOUND])
    # It was at another place before the interrupt: it has run in between.
    asked.registers = asked.registers.replace("SRR0 c0000000000764c0", "SRR0 c0000000000764c4")
    assert look(1) == ([], [])
    asked.where = "0xc0000000000764c4\r\n"
    assert look(5) == ([], [])
    asked.where = "unknown register\r\n"
    assert (look(1), look(3)[0]) == (([], []), [replace(FOUND, nip_before=0xC0000000000764C4)])
    asked.running = False
    assert look(5) == ([], [])


def test_a_cpu_whose_thread_the_host_does_not_run_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a processor, at whatever place; one that shares its thread has been passed over when others ran."""
    asked = _Asked()
    watch = Watch(cast("Qmp", asked), os.getpid(), {1: threading.get_native_id()})
    now, ran = 100.0, 5.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(watch, "_account", lambda cpu: (ran, False))
    asyncio.run(watch.look())
    now += 10
    assert asyncio.run(watch.look()) == []
    ran += 1.5
    assert asyncio.run(watch.look()) == [FOUND]
