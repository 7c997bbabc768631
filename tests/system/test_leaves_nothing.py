"""No process of ours is left, however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from base import owner

Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 60.0


def _ours(pid: int) -> list[int]:
    """Return the processes whose harness is `pid`, or was started by it."""
    return [found for found, mark in owner.marked().items() if mark.partition(":")[0] == str(pid)]


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_leaves_no_process(number: signal.Signals, code: int, testbed: Start) -> None:
    run = testbed("run", "dom0-boot", "--kernel", "fixed", "-n", "2")

    def two_machines() -> bool:
        return len(_ours(run.pid)) >= 2

    _wait_for(two_machines)
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does on Ctrl-C
    else:
        os.kill(run.pid, number)
    run.communicate()
    assert run.returncode == code
    assert testbed("reap").wait() == 0
    _wait_for(lambda: not _ours(run.pid))
