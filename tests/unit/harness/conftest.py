from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.hypervisor import find_hypervisor
from harness.kernel import KernelIdentity
from harness.resolve import Resolved
from harness.runspec import ImageRef, RunSpec
from harness.scenario import load_scenario
from results.model import CellId
from sim.platform import find_platform
from sim.qemu import QemuBinary

FAKE = Path(__file__).parents[2] / "fakes" / "fake_qemu.py"


@pytest.fixture
def make_fake_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSpec]:
    """Return a maker of run-specs whose QEMU is the fake with a given behaviour and whose steps are given."""

    def make(steps: str, behaviour: str = "boot") -> RunSpec:
        path = tmp_path / "scenario.yaml"
        path.write_text(f"feature: dom0-boot\nsummary: s\ndomus: [u1]\n{steps}")
        qemu = QemuBinary((sys.executable, str(FAKE), behaviour), "10.0.13")
        resolved = Resolved(qemu, Path("/kernel"), Path("/initrd"))
        monkeypatch.setattr("harness.worker.resolve", lambda _: resolved)
        image = ImageRef(name="i", digest="0" * 64)
        identity = KernelIdentity(release="6.1.0-fixed", build_id="00")
        cell = CellId(feature="dom0-boot", scenario="scenario", platform="pseries-970", hypervisor="kvm-pr")
        return RunSpec(
            run="test",
            cell=cell,
            scenario=load_scenario(path),
            platform=find_platform("pseries-970"),
            hypervisor=find_hypervisor("kvm-pr"),
            firmware="slof",
            qemu=image,
            kernel=image,
            kernel_identity=identity,
            domu_identity=identity,
            initrd=image,
            seed=1,
        )

    return make
