"""What our fixes for QEMU mend: the row that Debian's fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runspec import RunSpec
from harness.worker import run_cell
from sim.templates import TemplateStore

Make = Callable[..., RunSpec]
Start = Callable[..., "subprocess.Popen[str]"]
PREPARED = "boot-dom0, create u1, boots u1"


def test_a_domu_at_work_migrates_where_its_writes_are_noticed(testbed: Start, tmp_path: Path) -> None:
    """With Debian's QEMU 10.0 the domU is corrupted: pages that it read before it wrote to them are left behind."""
    cell = _run(testbed, tmp_path / "m.json", "live-migration", "powernv9")
    assert (cell["status"], cell["qemu"]) == ("yes", "10.0.13+fixed")


def test_a_breakpoint_in_a_nested_domu_is_hit(testbed: Start, tmp_path: Path) -> None:
    """With Debian's QEMU 10.0 it is an illegal instruction of the domU's. That no step follows it is expected."""
    cell = _run(testbed, tmp_path / "m.json", "debugger-domu", "pseries-power9")
    journal = (Path(cell["directory"]) / "journal.jsonl").read_text().splitlines()
    ended = [entry for entry in map(json.loads, journal) if entry["kind"] == "step-end"]
    assert "sys_sethostname" in next(entry["message"] for entry in reversed(ended) if entry["verdict"] == "pass")


@pytest.mark.parametrize(("qemu", "goes_on"), [("fixed", True), ("10.0", False)])
def test_a_machine_that_is_saved_keeps_its_nested_domu(
    qemu: str, goes_on: bool, spec_for: Make, store: TemplateStore, tmp_path: Path
) -> None:
    """With Debian's QEMU 10.0 no domU answers any more: the template is tried, and no cell starts from it."""
    steps = "prepare: [boot-dom0, {create: {domain: u1}}, {boots: u1}]\nsteps: [answers: u1]\n"
    column = {"platform": "pseries-power9", "hypervisor": "kvm-hv", "kernel": "debian"}
    spec = spec_for(steps, **column, qemu=qemu, templates="make")
    (tmp_path / "made").mkdir()
    assert run_cell(spec, tmp_path / "made").status == "yes"
    made = {template.label.partition(": ")[2]: template for template in store.all()}
    assert made.keys() == {"boot-dom0", PREPARED}
    assert made["boot-dom0"].unusable == ""
    assert (made[PREPARED].unusable == "") is goes_on
    if goes_on:
        (tmp_path / "started").mkdir()
        again = run_cell(spec, tmp_path / "started")
        assert (again.status, again.facts["start"]) == ("yes", f"template {made[PREPARED].name}")


def _run(testbed: Start, table: Path, scenario: str, platform: str) -> dict[str, Any]:
    """Run one scenario under KVM-HV on the QEMU with our fixes; it must end as expected."""
    run = testbed("run", scenario, "-p", platform, "-H", "kvm-hv", "--qemu", "fixed", "--json", str(table))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    (cell,) = [cell for cell in json.loads(table.read_text())["cells"] if cell["verdict"]]
    return dict(cell)
