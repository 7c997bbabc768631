"""A plan is told without building or starting anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.dryrun import command, dry_run
from harness.plan import Choice, plan
from harness.scenario import FOLDER, load_scenario


@pytest.fixture(autouse=True)
def _nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("harness.dryrun._cached", lambda _: None)


def test_what_is_to_be_built_and_how_each_machine_starts(tmp_path: Path) -> None:
    cells = plan([load_scenario(FOLDER / "smp-hypervisor-4.yaml")], Choice(hypervisor="kvm-pr", kernel="fixed"))
    lines = list(dry_run(cells, lambda _: 2.5))
    assert lines[0].startswith("2 cells; 2 have run here before, for 5 s")
    assert "linux-970-fixed" in lines[1]
    told = "\n".join(lines)
    assert (
        "# smp-hypervisor.smp-hypervisor-4.g5.kvm-pr.fixed: n/a, g5 has at most 1 CPU" in told or "n/a, g5 has" in told
    )
    assert "IMAGE:qemu-10.0/usr/bin/qemu-system-ppc64" in told
    assert "-smp 4" in told
    assert "-kernel IMAGE:linux-970-fixed/vmlinux" in told
    assert not (tmp_path / "cache/artifacts").exists()


def test_a_screen_takes_the_place_of_nographic() -> None:
    (cell,) = plan([load_scenario(FOLDER / "screen.yaml")], Choice("g5", kernel="fixed"))
    words = command(cell)
    assert "-nographic" not in words
    assert "VGA,romfile=" in words
    assert "console=tty0 console=ttyPZ0" in " ".join(words)


def test_the_option(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))
    assert main(["run", "dom0-boot", "-p", "g5", "-H", "kvm-pr", "--kernel", "fixed", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1 cells; 0 have run here before" in said
    assert "-machine mac99,via=pmu" in said
    assert not (tmp_path / "results").exists()
