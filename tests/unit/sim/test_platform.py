from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from base.errors import UsageError
from base.yamlmodel import YamlError
from sim.platform import FOLDER, find_platform, load_platforms
from sim.qemu import QemuBinary
from sim.spec import MachineSpec


def test_the_platforms_of_the_970_are_there() -> None:
    platforms = load_platforms()
    assert platforms["g5"].max_cpus == 1
    assert platforms["pseries-970"].default_firmware == "slof"


def test_an_unknown_platform_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'pseries-970'"):
        find_platform("pseries970")


def test_a_typo_in_a_platform_is_told_with_line_and_column(tmp_path: Path) -> None:
    text = (FOLDER / "g5.yaml").read_text()
    bad = tmp_path / "g5.yaml"
    bad.write_text(text.replace("max-cpus:", "max-cpu:"))
    line = text.splitlines().index("max-cpus: 1") + 1
    with pytest.raises(YamlError, match=rf"g5.yaml:{line}:1: unknown key 'max-cpu'; did you mean 'max-cpus'"):
        load_platforms(tmp_path)


def test_commands_have_a_channel_of_their_own() -> None:
    binary = QemuBinary(("qemu",), "10")
    fds = {"qmp": 3, "console": 4, "command": 5}
    g5 = MachineSpec(find_platform("g5"), binary, "openbios").arguments(fds)
    assert g5.count("-serial") == 1
    assert "virtserialport,bus=ports0.0,chardev=command,name=dom0.command" in g5
    pseries = MachineSpec(find_platform("pseries-970"), binary, "vof").arguments(fds)
    assert pseries.count("-serial") == 2
    assert "pseries,x-vof=on" in pseries


def test_a_machine_on_which_nothing_can_be_asked_has_its_console_and_no_more() -> None:
    binary = QemuBinary(("qemu",), "10")
    spec = MachineSpec(find_platform("powernv10"), binary, "skiboot", kernel=Path("/xen"))
    args = spec.arguments({"qmp": 3, "console": 4, "command": 5})
    assert [args[place + 1] for place, arg in enumerate(args) if arg == "-serial"] == ["chardev:console"]
    assert not [arg for arg in args if "virtio" in arg]
    # Its BMC, by which the firmware switches it off, is one of the devices that QEMU gives it by itself.
    assert "-nodefaults" not in args
    assert args[args.index("-append") + 1] == "console=hvc0 testbed.hostname=dom0"


def test_several_serial_lines_may_be_one_console() -> None:
    spec = MachineSpec(find_platform("maple"), QemuBinary(("qemu",), "10"), "openbios", kernel=Path("/xen"))
    args = spec.arguments({"qmp": 3, "console": 4, "command": 5})
    assert [args[place + 1] for place, arg in enumerate(args) if arg == "-serial"] == ["chardev:console"] * 2
    assert "socket,id=console,fd=4,mux=on" in args


def test_a_machine_has_a_time_of_its_own_where_its_platform_says_so() -> None:
    """Not one that must agree with another about the time, nor one that something else was asked for."""
    platform = find_platform("pseries-power9")
    spec = MachineSpec(platform, QemuBinary(("qemu",), "10"), "slof")
    assert _values(spec.arguments({}), "-icount") == ["shift=2"]
    assert _values(replace(spec, joined=True).arguments({}), "-icount") == []
    assert _values(replace(spec, accelerator="kvm").arguments({}), "-icount") == []
    assert _values(replace(spec, args=("-icount", "shift=3")).arguments({}), "-icount") == ["shift=3"]
    assert _values(replace(spec, platform=find_platform("g5"), firmware="openbios").arguments({}), "-icount") == []


def _values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]
