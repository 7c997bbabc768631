"""A guest that knows KVM-PR: it finds the page that both share, and keeps it when it is saved."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.live.api import Simulator

if TYPE_CHECKING:
    from tests.system.conftest import Unfixed

pytestmark = pytest.mark.usefixtures("own_results")

Start = Callable[..., "subprocess.Popen[str]"]
WORKED = "KVM: Live patching for a fast VM worked"
# Each child makes the guest's kernel enter and leave itself many times: by system calls, by faults.
CHILDREN = "for each in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done"
EMULATED = "cat /sys/kernel/debug/kvm/emulated_inst_exits"


def _emulated(g5: Simulator) -> tuple[bool, int]:
    """Return whether a domU patched its kernel, and how many of its instructions KVM emulates for some processes."""
    with g5:
        domu = g5.create()
        patched = WORKED in domu.run("dmesg").output
        before = int(g5.dom0.run(EMULATED).output)
        assert domu.run(CHILDREN).status == 0
        return patched, int(g5.dom0.run(EMULATED).output) - before


def test_a_guest_that_finds_the_page_is_trapped_less(without_fix: Callable[[str], Unfixed]) -> None:
    kernel, initrd = (str(path) for path in without_fix("linux/0006"))
    found, few = _emulated(Simulator.start("g5", kernel="fixed"))
    missed, many = _emulated(Simulator.start("g5", kernel=kernel, initrd=initrd))
    assert (found, missed) == (True, False)
    # Measured: 0.3. What is left are rfid, mtmsrd that switches translation, and hypercalls.
    assert few < many / 2


def test_a_kernel_that_tells_nobody_of_the_page_loses_its_saved_guest(
    testbed: Start, without_fix: Callable[[str], Unfixed], tmp_path: Path
) -> None:
    report = tmp_path / "m.json"
    child = testbed(
        "run", "save-restore", "-p", "g5", "-k", str(without_fix("linux/0007").kernel), "--json", str(report)
    )
    output, _ = child.communicate()
    assert child.returncode == 1, output
    (cell,) = json.loads(report.read_text())["cells"]
    steps = json.loads((Path(cell["directory"]) / "result.json").read_text())["steps"]
    # It can be saved; what comes of it elsewhere never answers.
    assert [step["title"] for step in steps if step["verdict"] in ("fail", "timeout")] == ["restore u1"]
    assert cell["status"] == "close"


@pytest.mark.parametrize("left_out", ["linux/0008", "qemu/0003"])
def test_a_plugged_cpu_needs_a_page_and_a_hash_table(
    testbed: Start, without_fix: Callable[[str], Unfixed], tmp_path: Path, left_out: str
) -> None:
    report = tmp_path / "m.json"
    kernel, initrd = (str(path) for path in without_fix(left_out))
    child = testbed("run", "cpu-hotplug", "-p", "g5", "-k", kernel, "--initrd", initrd, "--json", str(report))
    output, _ = child.communicate()
    assert child.returncode == 1, output
    (cell,) = json.loads(report.read_text())["cells"]
    assert cell["status"] == "no"
    # Without its page it runs into what is no code, or stands; without the table it has no instruction to begin with.
    assert "vcpu-set u1" in cell["message"]
