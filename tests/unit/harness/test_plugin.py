"""Scenarios as pytest items."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from base.paths import PROJECT
from tests.fakes.elf import make_elf


def _collect(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *words],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_cells_are_items_that_k_selects() -> None:
    code, text = _collect("scenarios", "-k", "g5 and fixed")
    assert code == 0, text
    assert "scenarios/domu-boot.yaml::g5-kvm-pr-fixed" in text
    assert "pseries" not in text


def test_a_bad_scenario_is_a_collection_error_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("feature: x\nsummary: s\nsteps: [boot-dom]\n")
    code, text = _collect(str(path), "-p", "harness.pytest_plugin")
    assert code != 0
    assert f"{path}:3:9: unknown verb 'boot-dom'" in text
    assert "Traceback" not in text


def test_a_users_file_is_held_against_the_platforms_that_were_asked_for(tmp_path: Path) -> None:
    """A little-endian hypervisor is for bare POWER, and wrong for the boards that are not among the named cells."""
    own = tmp_path / "xen"
    own.write_bytes(make_elf(order="<"))
    option = ("-p", "harness.pytest_plugin", "--hypervisor-image", str(own))
    path = "scenarios/hypervisor-boot.yaml"
    code, text = _collect(f"{path}::powernv9-xen-debian-hypervisor-image-own", *option)
    assert code == 0, text
    code, text = _collect(path, *option)
    assert code != 0
    assert "little-endian ELF; " in text
