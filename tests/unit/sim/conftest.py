from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec

FAKE = Path(__file__).parents[2] / "fakes" / "fake_qemu.py"


@pytest.fixture
def fake_spec() -> Callable[[str], MachineSpec]:
    """Return a maker of machines whose QEMU is a fake with a given behaviour."""

    def make(behaviour: str) -> MachineSpec:
        binary = QemuBinary((sys.executable, str(FAKE), behaviour), "fake")
        return MachineSpec(find_platform("pseries-970"), binary, "slof")

    return make
