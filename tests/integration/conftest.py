from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import images
from bench.page import CHROMIUM, FLAGS
from harness.qemus import image_version
from harness.resolve import qemu_binary
from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def qemu() -> QemuBinary:
    """Return the outer QEMU, as the recipe gives it."""
    artifact = images.ensure(["qemu-10.0"])["qemu-10.0"]
    return qemu_binary(artifact, image_version(artifact))


@pytest.fixture
def firmware_spec(qemu: QemuBinary) -> Callable[[str, str], MachineSpec]:
    """Return a maker of machines that run their firmware and nothing else."""

    def make(platform: str, firmware: str) -> MachineSpec:
        return MachineSpec(find_platform(platform), qemu, firmware)

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser."""
    from playwright.sync_api import sync_playwright

    assert Path(CHROMIUM).exists(), "no chromium: `./testbed test integration` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
