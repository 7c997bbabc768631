"""The reference: Xen of Debian's on a simulated PC, steered by its own toolstack."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.machine import machine_spec, ports_of, slots_of
from harness.resolve import resolve
from harness.runspec import RunSpec
from sim.virtualised import objection

Start = Callable[..., "subprocess.Popen[str]"]
ROWS = ("hypervisor-boot", "dom0-boot", "domu-boot")


def test_dom0_and_a_domu_boot_on_a_pc(testbed: Start, tmp_path: Path) -> None:
    run = testbed("run", *ROWS, "-p", "pc-xen", "--kernel", "4-17", "--json", str(tmp_path / "m.json"))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    cells: list[dict[str, Any]] = json.loads((tmp_path / "m.json").read_text())["cells"]
    ran = {cell["scenario"]: cell for cell in cells if cell["verdict"]}
    assert {name: cell["status"] for name, cell in ran.items()} == dict.fromkeys(ROWS, "yes")
    journal = Path(ran["domu-boot"]["directory"], "journal.jsonl").read_text()
    # Xen itself says what the domU runs on, and why it stopped.
    assert "xen 4.17" in journal
    assert '"message": "power-off"' in journal
    # Else its clocks, and dom0's timers, go minutes wrong on a busy host.
    log = Path(ran["dom0-boot"]["directory"], "console/dom0.log").read_text()
    assert "Platform timer is" in log
    assert "TSC only partially writable" not in log


def test_the_trial_of_an_accelerator_tells_one_that_boots_dom0_from_one_that_does_not(
    spec_for: Callable[..., RunSpec], tmp_path: Path
) -> None:
    """KVM or not is the host's; what judges it is the same for the simulator, which boots a whole dom0, and no half."""
    spec = spec_for("prepare: [boot-dom0]\nsteps: [same-kernel: dom0]", "pc-xen", "4-17", hypervisor="xen-x86")
    machine = replace(machine_spec(spec, resolve(spec)), ports=ports_of(slots_of(spec)))
    assert asyncio.run(objection(machine, "tcg", tmp_path / "whole")) == ""
    found = asyncio.run(objection(replace(machine, initrd=None), "tcg", tmp_path / "half"))
    assert "Unable to mount root" in found
