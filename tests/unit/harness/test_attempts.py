"""Trouble of ours is tried once more and marked; a failure of the product is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attempts import run_attempts
from harness.circumstances import circumstances, code_digest
from harness.junit import properties
from harness.runspec import RunSpec
from harness.watch import RunWatcher
from results.journal import load_result
from results.model import Reason
from results.store import create_run, results_of

Make = Callable[..., RunSpec]
BOOT = "prepare: [boot-dom0]\nsteps:\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.deadline.LEAST_IDLE", 0.5)


def test_trouble_of_ours_gets_a_second_attempt_in_a_fresh_folder(make_fake_cell: Make, tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    result, directory = run_attempts(make_fake_cell(BOOT + "  - answers: dom0\n", "refuse"), run)
    names = [path.name for path in run.cell_directories()]
    assert names == ["scenario.pseries-970.kvm-pr.stock", "scenario.pseries-970.kvm-pr.stock@2"]
    assert directory.name == names[1]
    assert "QEMU did not start" in str(result.facts["retried"])
    first = load_result(run.directory / "cells" / names[0])
    assert (first.verdict, "retried" in first.facts) == ("infra", False)
    (counts,) = results_of(run)
    assert counts.retried
    assert dict(properties(result, directory))["retried"] == result.facts["retried"]


@pytest.mark.parametrize(
    ("steps", "behaviour", "verdict"),
    [
        ("  - answers: dom0\n", "boot", "pass"),
        ("  - run: {domain: dom0, command: 'false'}\n", "boot", "fail"),
        ("  - run: {domain: dom0, command: sleep 60, within: 0.2}\n", "boot", "timeout"),
        ("  - answers: dom0\n", "panic", "fail"),
        ("  - run: {domain: dom0, command: sleep 9}\n", "abort", "fail"),
    ],
)
def test_what_the_product_did_is_never_tried_again(
    steps: str, behaviour: str, verdict: str, make_fake_cell: Make, tmp_path: Path
) -> None:
    run = create_run([], root=tmp_path)
    result, _ = run_attempts(make_fake_cell(BOOT + steps, behaviour), run)
    assert result.raw == verdict
    assert len(run.cell_directories()) == 1
    assert "retried" not in result.facts


def test_junit_names_the_inputs(make_fake_cell: Make, tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    result, directory = run_attempts(make_fake_cell(BOOT + "  - answers: dom0\n"), run)
    reason = Reason(why="so it is", link="https://example.org/1")
    told = dict(properties(result.model_copy(update={"expectation": reason}), directory))
    assert told["kernel.release"] == "6.1.0-fixed"
    assert told["kernel.build-id"] == "00"
    assert told["qemu.image"] == told["kernel.image"] == told["initrd.image"] == "0" * 64
    assert len(told["scenario"]) == len(told["platform"]) == len(told["hypervisor"]) == 64
    assert (told["verdict"], told["status"], told["evidence"]) == ("pass", "yes", str(directory))
    assert told["expectation.link"] == "https://example.org/1"
    assert told["testbed.code"] == code_digest()
    assert told["host.machine"] == circumstances()["host.machine"] != ""


def test_a_second_attempt_is_shown_as_the_same_cell(make_fake_cell: Make, tmp_path: Path) -> None:
    run = create_run([], root=tmp_path)
    run_attempts(make_fake_cell(BOOT + "  - answers: dom0\n", "refuse"), run)
    seen: list[str] = []
    RunWatcher(run, lambda event: seen.append(event.task)).look()
    assert set(seen) == {"cell scenario.pseries-970.kvm-pr.stock"}


def test_the_digest_of_our_code_is_that_of_what_drives_machines(tmp_path: Path) -> None:
    for name in ("base/a.py", "sim/b.py", "harness/c.py", "harness/commands/d.py", "harness/x.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    before = code_digest(tmp_path)
    (tmp_path / "harness/commands/d.py").write_text("2")
    (tmp_path / "harness/x.yaml").write_text("2")
    assert code_digest(tmp_path) == before
    (tmp_path / "sim/b.py").write_text("2")
    assert code_digest(tmp_path) != before
