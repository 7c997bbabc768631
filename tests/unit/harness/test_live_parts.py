"""Parts of live machines that need no machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from base.errors import UsageError
from harness.kernel import KernelIdentity
from harness.live import ptys, qmp_line
from harness.live.again import find_cell
from harness.live.devices import Devices, copy_of
from harness.live.folders import KEPT, live_folder, live_root
from harness.live.gdb_cli import commands
from harness.live.loop import Held, Loop
from harness.live.session import live_session
from harness.live.standalone import standalone, written
from harness.live.wish import Wish
from harness.plan import Choice
from harness.resolve import Resolved
from harness.runspec import ImageRef, RunSpec
from harness.scenario import FOLDER, load_scenario
from sim.console import Console
from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("query-status", ("query-status", {})),
        ("screendump filename=/tmp/a.png", ("screendump", {"filename": "/tmp/a.png"})),
        ("a n=1 on=true word=x", ("a", {"n": 1, "on": True, "word": "x"})),
        ('{"execute": "a", "arguments": {"b": [1]}}', ("a", {"b": [1]})),
    ],
)
def test_lines_of_the_qmp_prompt(line: str, read: tuple[str, dict[str, object]]) -> None:
    assert qmp_line.read(line) == read


@pytest.mark.parametrize("line", ["a b", '{"execute": 1}', "{", '{"arguments": {}}', "{}"])
def test_lines_that_are_no_commands(line: str) -> None:
    with pytest.raises(UsageError):
        qmp_line.read(line)


def _options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    Devices.add_arguments(parser)
    return parser.parse_args(words)


def test_devices_that_are_wished_for(tmp_path: Path) -> None:
    disk = tmp_path / "a,b.img"
    disk.write_bytes(bytes(512))
    devices = Devices.of(_options("--disk", str(disk), "--share", str(tmp_path), "--forward", "2222:22"))
    link = devices.link(find_platform("g5"), [])
    joined = " ".join(link.args)
    assert "a,,b.img" in joined
    assert "driver=raw,node-name=disk0" in joined
    assert "virtio-9p-pci" in joined
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in joined
    assert "bootindex" not in " ".join(devices.link(find_platform("pseries-970"), []).args)
    assert "mount -t 9p" in devices.script
    assert not Devices().script
    assert not Devices()


@pytest.mark.parametrize(
    "words", [["--disk", "/none"], ["--share", "/etc/passwd"], ["--forward", "a:b"], ["--forward", "1"]]
)
def test_devices_that_cannot_be(words: list[str]) -> None:
    with pytest.raises(UsageError):
        Devices.of(_options(*words))


def test_a_folder_is_copied_to_a_disk(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("what is in it")
    with copy_of(tmp_path) as disk:
        command = ["/sbin/debugfs", "-R", "cat /sub/file", f"/proc/self/fd/{disk.fileno()}"]
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=(disk.fileno(),), check=True)
    assert done.stdout == "what is in it"


def test_old_folders_of_live_machines_go_but_not_those_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    with live_folder("a-used-one") as used:
        for number in range(KEPT + 3):
            with live_folder(f"n{number}"):
                pass
        assert used.is_dir()
        assert len(list(live_root().iterdir())) <= KEPT + 1


def test_a_standalone_machine_has_a_person_at_its_console_and_nobody_at_its_ports() -> None:
    machine = MachineSpec(find_platform("g5"), QemuBinary(("q",), "10"), "openbios", kernel=Path("/cache/x/vmlinux"))
    args = standalone(replace(machine, ports=("slot1.qmp",)), files={"/cache/x/vmlinux": "vmlinux"})
    chardevs = [args[index + 1] for index, word in enumerate(args) if word == "-chardev"]
    assert {chardev.partition(",")[0] for chardev in chardevs} == {"stdio", "socket", "null"}
    assert "null,id=slot1.qmp" in chardevs
    assert "-action" not in args
    assert args[args.index("-kernel") + 1] == "vmlinux"
    # Each chardev that a device names is there.
    named = {word.partition("chardev=")[2].partition(",")[0] for word in args if "chardev=" in word}
    assert named <= {chardev.partition("id=")[2].partition(",")[0] for chardev in chardevs}


def test_a_command_is_written_as_a_shell_reads_it() -> None:
    command = ["qemu", "-append", "a b", "-x", "$y"]
    text = written(command)
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == command


def test_gdb_commands_fit_the_kernel() -> None:
    big, little = (KernelIdentity(release="6", build_id="0", order=order) for order in ("big", "little"))
    assert "break *'.$arg0' if ($msr & 0x4000) == 0" in commands(big, kernel_only=True)
    assert "break *'$arg0'\n" in commands(little, kernel_only=False)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wish("g5", Choice(platform="g5"), cpus=2), "g5 has at most 1 CPU, not 2"),
        (Wish("g5", Choice(platform="g5", initrd="/x"), domu=True), "--domu needs the test bed's own"),
        (Wish("powernv10", Choice(platform="powernv10"), domu=True), "has no toolstack"),
        (Wish("g5x", Choice(platform="g5")), "no platform 'g5x'"),
    ],
)
def test_wishes_that_cannot_be(wanted: Wish, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        wanted.plan()


def test_a_wish_is_the_last_kernel_with_the_sizes_asked_for() -> None:
    cell = Wish("pseries-970", Choice(platform="pseries-970"), cpus=2, memory=2048).plan()
    assert (cell.kernel, cell.platform.cpus, cell.platform.memory) == ("fixed", 2, 2048)


def test_a_cell_that_never_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    with pytest.raises(UsageError, match="no run has a cell 'nowhere'"):
        find_cell("nowhere")


def test_a_loop_in_a_thread_passes_values_and_errors_on() -> None:
    loop = Loop()

    class Context:
        left = False

        async def __aenter__(self) -> int:
            return 42

        async def __aexit__(self, *_: object) -> None:
            Context.left = True

    class Refuses(Context):
        async def __aenter__(self) -> int:
            raise UsageError("no")

    held = Held(loop, Context())
    assert held.enter() == 42
    held.leave()
    held.leave()
    assert Context.left
    with pytest.raises(UsageError, match="no"):
        Held(loop, Refuses()).enter()
    with pytest.raises(ZeroDivisionError):
        loop.do(_divides())
    loop.close()
    loop.close()


async def _divides() -> float:
    return 1 / 0


def test_a_console_on_a_pty(tmp_path: Path) -> None:
    import socket

    async def work() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        console = Console("c", ours, tmp_path, began=0.0)
        await console.open()
        loop = asyncio.get_running_loop()
        with ptys.on_ptys({"c": console}) as paths:
            person = os.open(paths["c"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            os.write(person, b"typed")
            typed = await loop.sock_recv(theirs, 100)
            await loop.sock_sendall(theirs, b"printed")
            await console.expect("printed")
            shown = os.read(person, 100)
            os.close(person)
        await console.close()
        theirs.close()
        return typed + b" " + shown

    assert asyncio.run(work()) == b"typed printed"


@pytest.mark.parametrize(
    ("scenario", "platform", "said"),
    [
        ("smp-hypervisor-4", "g5", "g5 has at most 1 CPU, the scenario is about 4"),
        ("screen", "pseries-970", "pseries-970 has no screen, the scenario is about it"),
    ],
)
def test_a_scenario_that_makes_no_sense_on_a_platform_is_refused(scenario: str, platform: str, said: str) -> None:
    own = load_scenario(FOLDER / f"{scenario}.yaml")
    with pytest.raises(UsageError, match=said):
        Wish(platform, Choice(platform=platform), own=own).plan()


def test_a_scenario_for_another_platform_is_refused() -> None:
    own = load_scenario(FOLDER / "virtual-disk.yaml").model_copy(update={"platforms": ("g5",)})
    with pytest.raises(UsageError, match="virtual-disk is not about pseries-970, but g5"):
        Wish("pseries-970", Choice(platform="pseries-970"), own=own).plan()


def test_what_is_wished_for_is_added_to_a_scenario_of_ones_own() -> None:
    own = load_scenario(FOLDER / "virtual-disk.yaml")
    found = Wish("g5", Choice(platform="g5"), screen=True, debugger=True, own=own).scenario
    assert (found.machine.screen, found.debugger) == (True, True)
    assert found.prepare == own.prepare
    assert Wish("g5", Choice(platform="g5"), own=own).scenario == own


def test_a_live_machine_boots_by_the_loader_that_its_cell_has(tmp_path: Path) -> None:
    """A machine that is to boot from a disk must not be given its kernel by QEMU."""

    async def loader_of() -> Path | None:
        async with live_session(spec, tmp_path) as session:
            return session.cell._loader

    own = load_scenario(FOLDER / "grub.yaml")
    cell = Wish("g5", Choice(platform="g5"), own=own).plan()
    image = ImageRef(name="i", digest="0" * 64)
    spec = RunSpec(
        run="test",
        cell=cell.id(),
        scenario=own,
        platform=cell.platform,
        hypervisor=cell.hypervisor,
        firmware=cell.firmware,
        qemu=image,
        kernel=image,
        kernel_identity=KernelIdentity(release="6.1", build_id="00"),
        seed=1,
    )
    resolved = Resolved(QemuBinary(("qemu",), "10.0"), Path("/kernel"), loader=Path("/core.elf"))
    with patch("harness.live.session.resolve", lambda _: resolved):
        assert asyncio.run(loader_of()) == Path("/core.elf")
