"""The harness against faults that real QEMU does not produce on demand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from sim.deadline import Budget
from sim.errors import (
    CpuLost,
    DeadlineExpired,
    GuestAlarm,
    HostStarved,
    NoOutput,
    QemuCrashed,
    QemuKilled,
    QemuRefused,
    QmpFailed,
)
from sim.lost import LostCpu, Watch
from sim.machine import Machine
from sim.spec import MachineSpec

Make = Callable[[str], MachineSpec]
SOON = Budget(work=20, idle=20, wall=60)


async def _ready(machine: Machine) -> None:
    await machine.wait("hello", machine.command.hello(), SOON)
    await machine.wait("challenge", machine.command.challenge(), SOON)


def test_commands_are_answered_with_status_and_output(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await _ready(machine)
            assert machine.version == "10.0.13"
            answer = await machine.command.run("echo out; echo err >&2; exit 3")
            assert (answer.status, answer.output) == (3, "out\nerr\n")
            big = await machine.command.run("seq 1 200000")
            assert big.output.endswith("199999\n200000\n")
            assert len(big.output.splitlines()) == 200000
            assert (await machine.command.run("printf 'no newline'")).output == "no newline"

    asyncio.run(scene())


def test_evidence_is_kept(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await _ready(machine)

    asyncio.run(scene())
    assert b"Linux version fake" in (tmp_path / "console/dom0.log").read_bytes()
    stamp = json.loads((tmp_path / "console/dom0.timeline.jsonl").read_text().splitlines()[0])
    assert stamp["offset"] == 0
    assert stamp["guest"] == 0.0
    said = [json.loads(line) for line in (tmp_path / "qmp/machine.jsonl").read_text().splitlines()]
    assert any(entry.get("execute") == "query-cpus-fast" for entry in said)
    assert "-machine pseries" in (tmp_path / "qemu.cmdline").read_text()


def test_a_panic_ends_any_wait_with_its_text(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("panic"), tmp_path) as machine:
            await machine.wait("for ever", asyncio.Event().wait(), SOON)

    with pytest.raises(GuestAlarm, match="Kernel panic - not syncing: as asked") as caught:
        asyncio.run(scene())
    assert caught.value.domain == "dom0"
    assert ".fake+0x1" in caught.value.excerpt


def test_a_qemu_that_refuses_is_our_trouble_and_says_why(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("refuse"), tmp_path):
            pass

    with pytest.raises(QemuRefused, match="unsupported machine type"):
        asyncio.run(scene())


@pytest.mark.parametrize(("number", "error"), [(signal.SIGKILL, QemuKilled), (signal.SIGSEGV, QemuCrashed)])
def test_whose_fault_the_end_of_qemu_is(
    number: signal.Signals, error: type[Exception], fake_spec: Make, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await _ready(machine)
            os.kill(machine.process.pid, number)
            await machine.wait("for ever", asyncio.Event().wait(), SOON)

    with pytest.raises(error):
        asyncio.run(scene())


def test_an_abort_is_a_crash(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("abort"), tmp_path) as machine:
            await machine.wait("for ever", asyncio.Event().wait(), SOON)

    with pytest.raises(QemuCrashed, match="SIGABRT"):
        asyncio.run(scene())


def test_an_idle_guest_times_out(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("no-channel"), tmp_path) as machine:
            await machine.wait("hello", machine.command.hello(), Budget(work=20, idle=0.3, wall=60))

    with pytest.raises(DeadlineExpired, match="hello: not within its deadline"):
        asyncio.run(scene())


def test_a_spinning_guest_times_out_by_the_work_it_did(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("spin"), tmp_path) as machine:
            # The fake spins in its main thread, QEMU's vCPUs have threads of their own.
            machine._vcpus = [machine.process.pid]
            await machine.wait("for ever", asyncio.Event().wait(), Budget(work=0.3, idle=60, wall=60))

    with pytest.raises(DeadlineExpired):
        asyncio.run(scene())


def test_a_cpu_that_is_lost_and_cannot_be_woken_is_told_long_before_the_deadline(
    fake_spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.lost.LOST_AFTER", 0.3)
    monkeypatch.setattr("sim.machine.LOOK_EVERY", 0.1)

    async def scene(behaviour: str) -> None:
        async with Machine(fake_spec(behaviour), tmp_path) as machine:
            await _ready(machine)
            await machine.wait("an answer", asyncio.sleep(2), SOON)

    with pytest.raises(CpuLost, match=r"an answer: QEMU has put CPU 0 to sleep"):
        asyncio.run(scene("lost"))
    asyncio.run(scene("fine"))


def test_a_mistake_of_ours_in_the_watch_is_no_lost_cpu(
    fake_spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(watch: Watch) -> list[LostCpu]:
        raise ValueError("ours")

    monkeypatch.setattr("sim.machine.LOOK_EVERY", 0.1)
    monkeypatch.setattr(Watch, "look", broken)

    async def scene() -> None:
        async with Machine(fake_spec("fine"), tmp_path) as machine:
            await machine.wait("an answer", asyncio.sleep(2), SOON)

    with pytest.raises(ValueError, match="ours"):
        asyncio.run(scene())


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.deadline.LEAST_IDLE", 0.3)


@pytest.mark.usefixtures("_impatient")
def test_a_console_that_says_nothing_ends_a_boot_before_its_deadline(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("no-channel"), tmp_path) as machine:
            budget = Budget(work=60, idle=60, wall=60, silence=0.3)
            await machine.wait("hello", machine.command.hello(), budget, speaker=machine.console)

    with pytest.raises(NoOutput, match=r"hello: no output for too long \(0.0 s of CPU used and 0.[3-9] s idle without"):
        asyncio.run(scene())


@pytest.mark.usefixtures("_impatient")
def test_output_that_never_ends_makes_no_deadline_longer(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("babble"), tmp_path) as machine:
            budget = Budget(work=60, idle=1.5, wall=60, silence=0.5)
            await machine.wait("hello", machine.command.hello(), budget, speaker=machine.console)

    with pytest.raises(DeadlineExpired, match="hello: not within its deadline") as caught:
        asyncio.run(scene())
    assert not isinstance(caught.value, NoOutput)


def test_a_starved_machine_is_not_the_products_fault(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await machine.wait("for ever", asyncio.Event().wait(), Budget(work=60, idle=60, wall=0.3))

    with pytest.raises(HostStarved):
        asyncio.run(scene())


def test_a_mute_qemu_is_not_waited_for_for_ever(
    fake_spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.machine.GREETING", Budget(work=9, idle=0.3, wall=60))

    async def scene() -> None:
        async with Machine(fake_spec("mute"), tmp_path):
            pass

    with pytest.raises(DeadlineExpired, match="QMP"):
        asyncio.run(scene())


def test_a_flood_loses_nothing_and_delays_no_answer(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> int:
        async with Machine(fake_spec("flood"), tmp_path) as machine:
            await _ready(machine)
            await machine.wait("the end of the flood", machine.console.expect("flood is over"), SOON)
            return machine.console.received

    received = asyncio.run(scene())
    log = (tmp_path / "console/dom0.log").read_bytes()
    assert len(log) == received
    assert log.count(b"flood of lines") == 200000
    assert len((tmp_path / "console/dom0.timeline.jsonl").read_text().splitlines()) == log.count(b"\n")


@pytest.mark.parametrize("behaviour", ["boot", "ignore-sigterm"])
def test_nothing_is_left_after_the_block(behaviour: str, fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> list[psutil.Process]:
        async with Machine(fake_spec(behaviour), tmp_path) as machine:
            await _ready(machine)
            family = [psutil.Process(machine.process.pid)]
            family += family[0].children(recursive=True)
            machine.process.stop = partial(machine.process.stop, grace=0.2)  # type: ignore[method-assign]
            return family

    family = asyncio.run(scene())
    assert len(family) >= 2
    _, alive = psutil.wait_procs(family, timeout=3)
    assert not alive


def test_a_failed_command_of_qmp_keeps_its_class(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await machine.qmp.execute("fail")

    with pytest.raises(QmpFailed, match="as asked") as caught:
        asyncio.run(scene())
    assert caught.value.kind == "GenericError"


def test_an_event_that_came_before_the_wait_is_not_missed(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await machine.qmp.execute("event")
            await machine.qmp.execute("query-status")
            event = await machine.wait("the event", machine.qmp.event("RESET"), SOON)
            assert event["event"] == "RESET"

    asyncio.run(scene())


def test_an_autopsy_has_state_and_registers(fake_spec: Make, tmp_path: Path) -> None:
    async def scene() -> None:
        async with Machine(fake_spec("boot"), tmp_path) as machine:
            await _ready(machine)
            path = await machine.autopsy()
            assert path is not None
            text = path.read_text()
            assert "running" in text
            assert "(qemu) info registers -a\nfake registers" in text
            assert "screen: no picture: There is no console to take a screendump from" in text
            assert "last lines of console dom0:\n[    0.000000] Linux version fake" in text

    asyncio.run(scene())
    assert not (tmp_path / "screens").exists()


def test_an_autopsy_of_a_qemu_that_no_longer_answers_ends_in_time(
    fake_spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.autopsy.PATIENCE", 0.3)

    async def scene() -> str:
        async with Machine(fake_spec("deaf"), tmp_path) as machine:
            await machine.wait("a line", machine.console.expect("fake"), SOON)
            began = time.monotonic()
            path = await machine.autopsy()
            assert path is not None
            assert time.monotonic() - began < 3
            return path.read_text()

    text = asyncio.run(scene())
    assert "QEMU no longer answers: no answer in time" in text
    assert "Linux version fake" in text
