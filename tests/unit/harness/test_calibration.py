"""The host's factor: measured once, kept, and never in the way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from base.errors import UsageError
from base.progress import Event
from harness.calibration import Factor, host_factor
from images import Artifact
from sim.calibrate import LEAST, MOST, REFERENCE, measure
from sim.errors import QemuRefused
from sim.platform import Architecture

QEMU = cast(Artifact, SimpleNamespace(name="qemu-x", digest="0" * 64))
OTHER = cast(Artifact, SimpleNamespace(name="qemu-y", digest="1" * 64))


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the measures that are to come; each one is taken away."""
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    monkeypatch.delenv("TESTBED_FACTOR", raising=False)
    coming: list[float] = []

    def take(*_: object) -> float:
        if not coming:
            raise QemuRefused("QEMU did not start")
        return coming.pop(0)

    monkeypatch.setattr("sim.calibrate.measure", take)
    monkeypatch.setattr("harness.resolve.qemu_binary", lambda *_: None)
    return coming


def test_it_is_measured_once_for_a_host_and_a_qemu_and_announced(
    measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured += [2.5, 3.0, 4.0]
    events: list[Event] = []
    first = host_factor(QEMU, "10.0", events.append)
    assert first.value == 2.5
    assert first.source.startswith("measured ")
    assert [(event.state, event.detail) for event in events][-1] == ("done", "factor 2.50")
    assert host_factor(QEMU, "10.0", events.append) == first
    assert host_factor(OTHER, "10.0").value == 3.0
    monkeypatch.setattr("harness.remembered.cpu_model", lambda: "another CPU")
    assert host_factor(QEMU, "10.0").value == 4.0
    assert len(events) == 2


def test_a_measurement_that_fails_is_said_and_tried_again(measured: list[float]) -> None:
    events: list[Event] = []
    assert host_factor(QEMU, "10.0", events.append) == Factor(1.0, "not measured: QEMU did not start")
    assert events[-1].state == "failed"
    measured.append(1.5)
    assert host_factor(QEMU, "10.0").value == 1.5


def test_the_user_s_word_counts(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_FACTOR", "3")
    assert host_factor(QEMU, "10.0") == Factor(3.0, "TESTBED_FACTOR")


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan", ""])
def test_no_number_is_a_usage_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_FACTOR", text)
    with pytest.raises(UsageError, match="TESTBED_FACTOR"):
        host_factor(QEMU, "10.0")


@pytest.mark.parametrize(("architecture", "work"), [("ppc64", "_forth"), ("x86_64", "_boot_sector")])
@pytest.mark.parametrize(("share", "factor"), [(1.0, 1.0), (100.0, MOST), (0.01, LEAST)])
def test_a_measure_beyond_belief_is_capped(
    share: float, factor: float, architecture: Architecture, work: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def done(*_: object) -> float:
        return REFERENCE[architecture] * share

    monkeypatch.setattr(f"sim.calibrate.{work}", done)
    assert measure(cast("object", None), tmp_path, architecture) == pytest.approx(factor)  # type: ignore[arg-type]
