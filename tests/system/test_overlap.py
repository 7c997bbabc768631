"""Cells run while images of other cells are still made; an image that cannot be made costs only its cells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from base import owner
from base.paths import cache_root

Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 240.0
LACKING = "linux-970-fixed"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache that has everything but one kernel, and how to make it."""
    whole, made = cache_root(), tmp_path / "cache"
    (made / "artifacts").mkdir(parents=True)
    for artifact in (whole / "artifacts").iterdir():
        if not artifact.name.startswith(f"{LACKING}-"):
            (made / "artifacts" / artifact.name).symlink_to(artifact)
    for name in ("downloads", "ccache", "lock.json", "tools.json", "calibration"):
        if (whole / name).exists():
            (made / name).symlink_to(whole / name)
    monkeypatch.setenv("TESTBED_CACHE", str(made))
    return made


def _results(folder: Path) -> dict[str, dict[str, object]]:
    found = (json.loads(path.read_bytes()) for path in folder.glob("results/runs/*/cells/*/result.json"))
    return {str(result["cell"]["kernel"]): result for result in found}


def _until(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_first_result_comes_while_an_image_is_made_and_the_end_leaves_nothing(
    number: signal.Signals, cache: Path, testbed: Start, tmp_path: Path
) -> None:
    run = testbed("run", "dom0-boot", "-p", "g5")
    _until(lambda: "stock" in _results(tmp_path), run)
    assert _results(tmp_path)["stock"]["verdict"] == "pass"
    assert list((cache / "build").glob(LACKING)), "the kernel was there too early: this tests nothing"
    compilers = [pid for pid, mark in owner.marked().items() if mark.partition(":")[0] == str(run.pid)]
    assert len(compilers) > 2
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        os.kill(run.pid, number)
    said, _ = run.communicate()
    assert run.returncode == (130 if number == signal.SIGINT else -9), said
    assert testbed("reap").wait() == 0
    end = time.monotonic() + 20
    while left := [pid for pid, mark in owner.marked().items() if mark.partition(":")[0] == str(run.pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_a_kernel_that_cannot_be_made_costs_only_its_cells(
    cache: Path, testbed: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "downloads").unlink()
    monkeypatch.setenv("TESTBED_MIRROR", "http://127.0.0.1:9/nothing")
    run = testbed("run", "dom0-boot", "-p", "g5")
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3, said
    results = _results(tmp_path)
    assert (results["stock"]["verdict"], results["fixed"]["verdict"]) == ("pass", "infra")
    assert "mirror" in str(results["fixed"]["message"])
    assert f"FAILED image {LACKING}" in said
