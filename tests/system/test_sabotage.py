"""Each thing broken on purpose gets the right verdict, from the real hypervisor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from base import owner
from harness.runspec import ImageRef, RunSpec
from harness.worker import run_cell
from results.journal import JOURNAL, read_journal
from results.model import Result

Make = Callable[..., RunSpec]
DOM0 = "steps:\n  - boot-dom0\n"


def _run(spec: RunSpec, tmp_path: Path) -> Result:
    directory = tmp_path / "cell"
    directory.mkdir()
    return run_cell(spec, directory)


def test_another_kernel_than_the_one_that_was_built(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(DOM0 + "  - same-kernel: dom0\n")
    other = spec_for(DOM0, kernel="stock")
    assert isinstance(other.kernel, ImageRef)
    result = _run(spec.model_copy(update={"kernel": other.kernel}), tmp_path)
    assert (result.raw, result.status) == ("fail", "close")
    assert "-stock" in result.message
    assert "but built was" in result.message
    assert "-fixed" in result.message


def test_a_kernel_without_kvm(spec_for: Make, tmp_path: Path) -> None:
    # The symbol of a function's code has a dot before its name in this ABI (ELFv1).
    append = "initcall_blacklist=.kvmppc_book3s_init"
    spec = spec_for("prepare: [boot-dom0]\nsteps: [hypervisor-ready]\n", append=append)
    result = _run(spec, tmp_path)
    assert (result.raw, result.status) == ("fail", "no")
    assert "has no KVM" in result.message


def test_a_power_off_that_is_a_reset(spec_for: Make, tmp_path: Path) -> None:
    trick = "cd /sbin && rm poweroff && echo exec reboot -f >poweroff && chmod +x poweroff"
    steps = f"prepare:\n  - boot-dom0\n  - run: {{domain: dom0, command: '{trick}'}}\nsteps: [powers-off: dom0]\n"
    result = _run(spec_for(steps), tmp_path)
    assert (result.raw, result.status) == ("fail", "no")
    assert "was seen as reset, not power-off" in result.message


def test_memory_that_the_device_tree_does_not_have(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for("prepare: [boot-dom0]\nsteps: [sees-machine: dom0]\n", append="mem=512M")
    platform = spec.platform.model_copy(update={"memory": 768})
    result = _run(spec, tmp_path)
    assert result.raw == "pass", result.message  # the kernel's own limit is not the machine's
    (tmp_path / "second").mkdir()
    args = ("-m", "512")
    lied = platform.model_copy(update={"args": (*platform.args, *args)})
    # Cold: memory that is a file would have the size that was given.
    result = _run(spec.model_copy(update={"platform": lied, "templates": "none"}), tmp_path / "second")
    assert (result.raw, result.status) == ("fail", "no")
    assert "it has 512 MiB of memory, given were 768 MiB" in result.message


def test_a_domu_that_panics_is_told_with_its_panic_and_leaves_dom0_alive(spec_for: Make, tmp_path: Path) -> None:
    result = _run(
        spec_for(
            "prepare: [boot-dom0]\nsteps:\n  - create: {domain: u1, append: rdinit=/none}\n  - boots: u1\n",
            platform="pseries-970",
            firmware="vof",
        ),
        tmp_path,
    )
    assert result.raw == "fail"
    assert "u1: kernel panic" in result.message
    assert "Kernel panic - not syncing" in (tmp_path / "cell/alarm.txt").read_text()
    dom0 = (tmp_path / "cell/console/dom0.log").read_bytes()
    assert b"Kernel panic" not in dom0
    assert '"running": true' in (tmp_path / "cell/autopsy.txt").read_text()


def test_a_domu_whose_qemu_ends_at_once(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for("prepare: [boot-dom0]\nsteps:\n  - create: u1\n", platform="pseries-970", firmware="vof")
    domu = spec.hypervisor.domu.model_copy(update={"cpu": "no-such-cpu"})
    spec = spec.model_copy(update={"hypervisor": spec.hypervisor.model_copy(update={"domu_machine": domu})})
    result = _run(spec, tmp_path)
    assert result.raw == "fail"
    assert "its QEMU ended at once with exit status 1" in result.message
    assert "no-such-cpu" in result.message


def test_an_outer_qemu_that_exits_at_once(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(DOM0)
    platform = spec.platform.model_copy(update={"machine": "no-such-machine"})
    result = _run(spec.model_copy(update={"platform": platform}), tmp_path)
    assert (result.raw, result.status) == ("infra", "untested")
    assert "no-such-machine" in result.message


def test_a_qemu_killed_in_the_middle(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(DOM0 + "  - run: {domain: dom0, command: sleep 100, within: 120}\n")
    directory = tmp_path / "cell"

    def under_way() -> bool:
        if not (directory / JOURNAL).exists():
            return False
        last = read_journal(directory)[-1]
        return last.kind == "step-start" and last.verb == "run"

    def kill() -> None:
        while not under_way():
            time.sleep(0.05)
        mine = owner.environment()[owner.MARK]
        for pid in [pid for pid, mark in owner.marked().items() if mark == mine]:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = _run(spec, tmp_path)
    killer.join()
    assert (result.raw, result.status) == ("infra", "untested")
    assert "killed from outside with SIGKILL" in result.message


@pytest.mark.parametrize("platform", ["g5", "pseries-970"])
def test_a_flooding_console_delays_no_command(platform: str, spec_for: Make, tmp_path: Path) -> None:
    flood = "seq 1 20000 >/dev/console; echo over"
    steps = DOM0 + f"  - run: {{domain: dom0, command: '{flood}', prints: over, within: 60}}\n  - answers: dom0\n"
    choice = {"firmware": "vof"} if platform == "pseries-970" else {}
    result = _run(spec_for(steps, platform=platform, **choice), tmp_path)
    assert result.raw == "pass", result.message
    log = (tmp_path / "cell/console/dom0.log").read_bytes()
    assert b"\r\n19999\r\n20000\r\n" in log
    assert log.count(b"\n") > 20000
