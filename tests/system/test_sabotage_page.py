"""Each row of XenPPC's page with its feature taken away: its scenario must fail, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec
from harness.worker import run_cell
from results.model import Result

Make = Callable[..., RunSpec]
DOMU = "  - create: {domain: u1, OPTIONS}\n  - boots: u1\n"
WORKING = "  - starts-work: {domain: u1, at: [counter, timer]}\n"


def _run(spec_for: Make, tmp_path: Path, prepare: str, steps: str, **choice: str) -> Result:
    text = f"prepare:\n  - boot-dom0\n{prepare}steps:\n{steps}"
    choice = {"platform": "pseries-970", "firmware": "vof", **choice}
    directory = tmp_path / "cell"
    directory.mkdir()
    return run_cell(spec_for(text, **choice), directory)


def _domu(options: str = "memory: 256") -> str:
    return DOMU.replace("OPTIONS", options)


@pytest.mark.parametrize(
    ("prepare", "steps", "told"),
    [
        pytest.param(
            "  - disk: data\n" + _domu(),
            "  - keeps-files: {domain: u1, disk: data}\n",
            "no disk of 16 MiB",
            id="virtual-disk: none is given",
        ),
        pytest.param(
            "  - disk: data\n" + _domu("disks: [data]"),
            "  - refuses-writes: {domain: u1, disk: data}\n",
            "wrote to data, which is read-only",
            id="virtual-disk: a sealed disk is not sealed",
        ),
        pytest.param(
            "  - bridge\n" + _domu("network: true") + "  - network-up: u1\n  - link: {domain: u1, state: down}\n",
            "  - reaches: {domain: u1, peer: dom0}\n",
            "dom0 answered 0 of 3 packets",
            id="virtual-network: the cable is out",
        ),
        pytest.param(
            _domu("vcpus: 2") + "  - run: {domain: u1, command: echo 0 >/sys/devices/system/cpu/cpu1/online}\n",
            "  - cpus-online: {domain: u1, count: 2}\n",
            "has the CPUs 0 online, not 2",
            id="smp-guest: the second CPU is off",
        ),
        pytest.param(
            _domu("balloon: none"),
            "  - mem-set: {domain: u1, target: 192}\n",
            "No balloon device has been activated",
            id="memory-ballooning: there is no balloon",
        ),
        pytest.param(
            _domu() + "  - fills-memory: {domain: u1, size: 8}\n",
            "  - run: {domain: u1, command: printf X | dd of=/tmp/filled bs=1 seek=4096 conv=notrunc}\n"
            "  - memory-is-kept: u1\n",
            "at 0x1000 is ",
            id="memory-ballooning: a byte of the memory is another",
        ),
        pytest.param(
            _domu() + WORKING,
            "  - run: {domain: u1, command: kill $(cat /run/witness/counter.pid)}\n"
            "  - save: u1\n  - restore: u1\n  - work-goes-on: u1\n",
            "counter has ended",
            id="save-restore: the counter was stopped",
        ),
        pytest.param(
            _domu() + WORKING,
            "  - migrate: u1\n  - run: {domain: u1, command: kill -STOP $(cat /run/witness/timer.pid)}\n"
            "  - work-goes-on: {domain: u1, within: 10}\n",
            "not within its deadline",
            id="live-migration: the timer stands still",
        ),
        pytest.param(
            _domu(),
            "  - listed: []\n",
            "listed are u1, not none",
            id="management-tools: a domU too many",
        ),
    ],
)
def test_without_its_feature_a_row_fails(prepare: str, steps: str, told: str, spec_for: Make, tmp_path: Path) -> None:
    result = _run(spec_for, tmp_path, prepare, steps)
    assert result.raw in ("fail", "timeout"), result.message
    assert told in result.message


def test_guests_that_are_on_another_cpu_than_told(
    spec_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row smp-hypervisor: one CPU of two is switched off, so the guests cannot be put there."""
    steps = (
        "prepare:\n  - boot-dom0\n"
        + _domu()
        + (
            "steps:\n  - run: {domain: dom0, command: echo 0 >/sys/devices/system/cpu/cpu1/online}\n"
            "  - domus-run-on: {cpus: {u1: 1}}\n"
        )
    )
    directory = tmp_path / "cell"
    directory.mkdir()
    spec = spec_for("machine: {cpus: 2}\n" + steps, platform="pseries-970", firmware="vof")
    result = run_cell(spec, directory)
    assert (result.raw, result.status) == ("fail", "close")
    assert "taskset" in result.message
