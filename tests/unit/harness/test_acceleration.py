"""What runs a machine: KVM only where a dom0 was seen to boot under it, and that is tried once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from base.errors import UsageError
from base.progress import Event
from harness import acceleration
from harness.acceleration import accelerated
from harness.fingerprint import inputs
from harness.runspec import ImageRef, RunSpec
from sim.errors import HostStarved
from sim.platform import Accelerator, find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec

PC = find_platform("pc-xen")


@pytest.fixture
def mac(make_fake_cell: Callable[..., RunSpec]) -> RunSpec:
    """Return a cell of a platform that can only be simulated."""
    return make_fake_cell("prepare: [boot-dom0]\nsteps: [same-kernel: dom0]")


@pytest.fixture
def pc(mac: RunSpec) -> RunSpec:
    """Return a cell of a platform that has two accelerators."""
    return mac.model_copy(update={"platform": PC})


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | Exception]:
    """Return what trials are to come to; each one is taken away."""
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    monkeypatch.delenv("TESTBED_ACCEL", raising=False)
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(acceleration, "DEVICE", device)
    coming: list[str | Exception] = []

    async def trial(*_: object) -> str:
        found = coming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("sim.virtualised.objection", trial)
    monkeypatch.setattr("harness.resolve.resolve", lambda *_: None)
    monkeypatch.setattr("harness.machine.machine_spec", lambda *_: _machine())
    return coming


def _machine() -> MachineSpec:
    return MachineSpec(PC, QemuBinary(("q",), "10"), "seabios")


def test_the_first_that_boots_a_dom0_is_used_and_tried_once(tried: list[str | Exception], pc: RunSpec) -> None:
    tried.append("")
    events: list[Event] = []
    spec = accelerated(pc, events.append)
    assert (spec.accelerator, spec.accelerator_why) == ("kvm", "")
    assert [(event.state, event.detail) for event in events][-1] == ("done", "it does")
    assert accelerated(pc).accelerator == "kvm"


def test_one_that_does_not_is_passed_over_and_the_cell_says_why(tried: list[str | Exception], pc: RunSpec) -> None:
    tried.append("dom0 boots: no output for too long")
    for _ in range(2):
        spec = accelerated(pc)
        assert (spec.accelerator, spec.accelerator_why) == ("tcg", "kvm: dom0 boots: no output for too long")


@pytest.mark.parametrize("other", ["release", "image", "host"])
def test_what_it_depends_on_has_it_tried_again(
    other: str, tried: list[str | Exception], pc: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried += ["it hangs", ""]
    assert accelerated(pc).accelerator == "tcg"
    if other == "release":
        monkeypatch.setattr("platform.release", lambda: "another")
    elif other == "host":
        monkeypatch.setattr("harness.remembered.cpu_model", lambda: "another CPU")
    else:
        pc = pc.model_copy(update={"kernel": ImageRef(name="i", digest="f" * 64)})
    assert accelerated(pc).accelerator == "kvm"


def test_a_host_without_time_decides_nothing_for_good(tried: list[str | Exception], pc: RunSpec) -> None:
    tried += [HostStarved("the host is too busy to tell"), ""]
    events: list[Event] = []
    assert accelerated(pc, events.append).accelerator_why == "kvm: the host is too busy to tell"
    assert events[-1].state == "failed"
    assert accelerated(pc).accelerator == "kvm"


def test_without_the_device_nothing_is_tried(
    tried: list[str | Exception], pc: RunSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(acceleration, "DEVICE", tmp_path / "none")
    assert accelerated(pc).accelerator_why.endswith("none is missing")
    assert not tried


def test_the_user_s_word_counts_where_the_platform_has_it(
    tried: list[str | Exception], pc: RunSpec, mac: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_ACCEL", "kvm")
    assert accelerated(pc).accelerator == "kvm"
    assert accelerated(mac).accelerator == "tcg"
    monkeypatch.setenv("TESTBED_ACCEL", "kmv")
    with pytest.raises(UsageError, match="TESTBED_ACCEL is 'kmv'; did you mean 'kvm'"):
        accelerated(pc)
    assert not tried


def test_qemu_is_told_and_a_template_of_the_other_is_not_used(pc: RunSpec) -> None:
    fds = {"qmp": 3, "console": 4, "command": 5}
    told: dict[Accelerator, tuple[str, str]] = {
        "kvm": (" -cpu Nehalem ", " -accel kvm "),
        # What is only true of the simulated CPU is not said of the host's.
        "tcg": (" -cpu Nehalem,invtsc=on,x-force-features=on ", " -accel tcg,thread=multi "),
    }
    for name, (cpu, accelerator) in told.items():
        arguments = " ".join(replace(_machine(), accelerator=name).arguments(fds))
        assert cpu in arguments
        assert accelerator in arguments
    other = pc.model_copy(update={"accelerator": "kvm"})
    assert inputs(pc, 0) | {"accelerator": "kvm"} == inputs(other, 0) != inputs(pc, 0)
