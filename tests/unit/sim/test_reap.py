"""What a killed harness leaves is found by its mark, and only that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from base import owner
from sim.reap import Orphan, orphans, reap

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def _start(mark: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(SLEEP, env={owner.MARK: mark}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    dead = subprocess.Popen(["true"])
    mark = f"{dead.pid}:{owner.start_ticks(dead.pid)}"
    dead.wait()
    child = _start(mark)
    yield child
    child.kill()
    child.wait()


def test_an_orphan_is_ended(orphan: subprocess.Popen[bytes]) -> None:
    told: list[Orphan] = []
    assert orphan.pid in [found.pid for found in orphans()]
    assert reap(told.append) >= 1
    orphan.wait(timeout=5)
    assert "time.sleep" in next(found.command for found in told if found.pid == orphan.pid)


def test_a_living_harness_keeps_its_processes() -> None:
    child = _start(owner.environment()[owner.MARK])
    try:
        assert child.pid in owner.marked()
        assert child.pid not in [found.pid for found in orphans()]
    finally:
        child.kill()
        child.wait()


def test_a_reused_process_number_is_not_the_owner() -> None:
    mine = owner.environment()[owner.MARK].split(":")
    assert owner.owner_lives(":".join(mine))
    assert not owner.owner_lives(f"{mine[0]}:1")
    assert not owner.owner_lives("nonsense")
