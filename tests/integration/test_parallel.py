"""Real pytest with real workers and a real coordinator; only the cells are fakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from base.errors import InfraError
from base.paths import PROJECT
from harness.coordinator import Coordinator, turn
from harness.pool import Need, Pool
from images.errors import BuildError

SCENARIO = "feature: dom0-boot\nsummary: s\nplatforms: [g5]\nsteps: [boot-dom0]\n"
COSTS = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 5.0, "e": 60.0, "f": 15.0, "g": 25.0, "h": 12.0}
ONE = Need(1, 1, 1.0)


def _fake_run(folder: Path, workers: int, address: str, **environment: str) -> tuple[int, list[str]]:
    """Run one cell per entry of COSTS; return pytest's exit code and what the cells said."""
    scenarios = folder / "scenarios"
    scenarios.mkdir()
    timings = folder / "results" / "timings"
    timings.mkdir(parents=True)
    for name, cost in COSTS.items():
        (scenarios / f"{name}.yaml").write_text(SCENARIO)
        known = {"schema": 1, "steps": {}, "whole": [cost]}
        (timings / f"{name}.g5.kvm-pr.fixed.json").write_text(json.dumps(known))
    trace = folder / "trace"
    trace.touch()
    command = [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin", "-p", "tests.fakes.quick_cells", "-q"]
    command += ["-c", str(PROJECT / "pyproject.toml"), "--rootdir", str(PROJECT), "-p", "no:cacheprovider"]
    command += ["--kernel", "fixed", "-n", str(workers), "--testbed-coordinator", address, str(scenarios)]
    done = subprocess.run(
        command,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "TESTBED_RESULTS": str(folder / "results"),
            "QUICK_CELLS": str(trace),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [*trace.read_text().splitlines(), *([done.stdout] if done.returncode else [])]


def _most(trace: list[str]) -> int:
    running = most = 0
    for line in trace:
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    return most


def test_the_longest_begin_first_and_never_more_than_there_is_room_for(tmp_path: Path) -> None:
    with Coordinator(Pool(2, 1 << 20)) as coordinator:
        code, trace = _fake_run(tmp_path, 3, coordinator.address)
    assert code == 0, trace
    began = [line.split()[1][0] for line in trace if line.startswith("begin")]
    assert sorted(began) == sorted(COSTS)
    assert set(began[:2]) <= {"e", "c", "g"}
    assert _most(trace) == 2
    # What is dealt out is the longest first, save that a worker must have its next one beforehand.
    assert {"a", "d"} & set(began[-4:])


def test_a_worker_that_dies_leaves_its_room_to_others(tmp_path: Path) -> None:
    pool = Pool(1, 1 << 20)
    with Coordinator(pool) as coordinator:
        _, trace = _fake_run(tmp_path, 2, coordinator.address, QUICK_DEATH="c")
    began = [line.split()[1][0] for line in trace if line.startswith("begin")]
    ended = [line.split()[1][0] for line in trace if line.startswith("end")]
    assert set(began) - set(ended) == {"c"}
    assert set(ended) == set(COSTS) - {"c"}


def test_who_asks_for_an_image_that_failed_is_told_why_and_nobody_else() -> None:
    def images(names: object) -> None:
        if "bad" in str(names):
            raise BuildError("image 'bad': exit code 7", hint="see its log")

    told = pytest.raises(InfraError, match=r"image 'bad': exit code 7\n  hint: see its log")
    with Coordinator(Pool(2, 100), images) as coordinator:
        with told, turn(coordinator.address, ["good", "bad"], ONE):
            pass
        with turn(coordinator.address, ["good"], ONE):
            pass


def test_a_run_that_is_gone_is_not_waited_for() -> None:
    coordinator = Coordinator(Pool(1, 100))
    coordinator.start()
    coordinator.stop()
    with pytest.raises(InfraError, match="gone"), turn(coordinator.address, [], ONE):
        pass
