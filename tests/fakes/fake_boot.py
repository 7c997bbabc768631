"""`testbed boot` with the fake QEMU, for tests of what a person sees: fake_boot.py BEHAVIOUR FOLDER."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from unittest.mock import patch

from harness.commands.boot import _boot
from harness.hypervisor import find_hypervisor
from harness.kernel import KernelIdentity
from harness.live.wish import Wish
from harness.plan import Choice
from harness.resolve import Resolved
from harness.runspec import ImageRef, RunSpec
from results.model import CellId
from sim.platform import find_platform
from sim.qemu import QemuBinary


def main() -> None:
    behaviour, folder = sys.argv[1], Path(sys.argv[2])
    wanted = Wish("pseries-970", Choice(platform="pseries-970"))
    image = ImageRef(name="i", digest="0" * 64)
    spec = RunSpec(
        run="test",
        cell=CellId(feature="boot", scenario="boot", platform="pseries-970", hypervisor="kvm-pr"),
        scenario=wanted.scenario,
        platform=find_platform("pseries-970"),
        hypervisor=find_hypervisor("kvm-pr"),
        firmware="slof",
        qemu=image,
        kernel=image,
        kernel_identity=KernelIdentity(release="6.1.0-fixed", build_id="00"),
        initrd=image,
        seed=1,
    )
    qemu = QemuBinary((sys.executable, str(Path(__file__).with_name("fake_qemu.py")), behaviour), "10.0.13")
    with patch("harness.live.session.resolve", lambda _: Resolved(qemu, Path("/kernel"), Path("/initrd"))):
        sys.exit(asyncio.run(_boot(spec, folder, wanted, gdb=False)))


main()
