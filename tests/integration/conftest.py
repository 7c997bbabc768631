from __future__ import annotations

from collections.abc import Callable

import pytest

import images
from harness.resolve import qemu_binary
from harness.specs import qemu_version
from sim.machine import MachineSpec
from sim.platform import find_platform
from sim.qemu import QemuBinary


@pytest.fixture(scope="session")
def qemu() -> QemuBinary:
    """Return the outer QEMU, as the recipe gives it."""
    artifact = images.ensure(["qemu-10.0"])["qemu-10.0"]
    return qemu_binary(artifact, qemu_version(artifact))


@pytest.fixture
def firmware_spec(qemu: QemuBinary) -> Callable[[str, str], MachineSpec]:
    """Return a maker of machines that run their firmware and nothing else."""

    def make(platform: str, firmware: str) -> MachineSpec:
        return MachineSpec(find_platform(platform), qemu, firmware)

    return make
