"""A boot from a disk fails when what the disk must hold is taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.files import sha256_file
from harness.plan import Choice, plan
from harness.runspec import OwnFile, RunSpec
from harness.scenario import load_scenario
from harness.specs import make_spec
from harness.worker import run_cell
from results.model import Result

STEPS = """
feature: grub
summary: s
machine: {boot: disk}
steps:
  - boot-dom0: {within: 30}
  - console-showed: {domain: dom0, text: Welcome to GRUB!}
"""


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    """Return the run-spec of a dom0 that boots from a disk."""
    path = tmp_path / "sabotage.yaml"
    path.write_text(STEPS)
    (cell,) = plan([load_scenario(path)], Choice("pseries-970", "kvm-pr", "fixed"))
    return make_spec(cell, "test")


def _run(spec: RunSpec, tmp_path: Path) -> tuple[Result, str]:
    directory = tmp_path / "cell"
    directory.mkdir()
    result = run_cell(spec, directory)
    return result, (directory / "console/dom0.log").read_bytes().decode(errors="replace")


def test_an_empty_prep_partition(spec: RunSpec, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(bytes(1 << 20))
    loader = OwnFile(path=empty, sha256=sha256_file(empty))
    result, console = _run(spec.model_copy(update={"loader": loader}), tmp_path)
    assert (result.raw, result.status) == ("timeout", "no"), result.message
    assert "Trying to load:" in console
    assert "GRUB" not in console
    assert "Linux version" not in console


def test_a_configuration_that_says_nothing(spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bootdisk.grub_config", lambda *_, **__: "# nothing to boot\n")
    result, console = _run(spec, tmp_path)
    assert (result.raw, result.status) == ("timeout", "no"), result.message
    assert "Welcome to GRUB!" in console
    assert "Linux version" not in console


def test_a_machine_that_qemu_gives_the_kernel_shows_no_grub(spec: RunSpec, tmp_path: Path) -> None:
    result, console = _run(spec.model_copy(update={"loader": None}), tmp_path)
    assert (result.raw, result.status) == ("fail", "close"), result.message
    assert "has shown nothing that matches /Welcome to GRUB!/" in result.message
    assert "Linux version" in console
