"""What a developer does to live machines: look, debug, trace, record, and hand the machine on."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from base.errors import UsageError
from base.paths import PROJECT
from harness.live.again import find_cell
from harness.live.api import Domain, DomU, Simulator
from harness.resolve import resolve
from sim.errors import SnapshotFailed
from sim.machine import Machine
from sim.screen import read_ppm

pytestmark = pytest.mark.usefixtures("own_results")

Testbed = Callable[..., "subprocess.Popen[str]"]
ESCAPE = "\x1d"
ROW = "feature: domu-boot\nsummary: s\n"


@pytest.fixture
def person() -> Iterator[Callable[..., pexpect.spawn[str]]]:
    """Return a starter of programs at a terminal of their own, ended after the test."""
    spawned: list[pexpect.spawn[str]] = []

    def start(command: str, *words: str, **more: str) -> pexpect.spawn[str]:
        env = more or {**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm"}
        child = pexpect.spawn(
            command, list(words), env=env, timeout=180, encoding="utf-8", codec_errors="replace", dimensions=(40, 100)
        )
        spawned.append(child)
        return child

    yield start
    for child in spawned:
        child.close(force=True)


def _said(testbed: Testbed, code: int, *words: str) -> str:
    child = testbed(*words)
    output, _ = child.communicate()
    assert child.returncode == code, output
    return output


def test_the_menu_of_a_live_machine(person: Callable[..., pexpect.spawn[str]]) -> None:
    """The size of the terminal, a snapshot and back, a domU's console, power-off from the menu."""
    at = person(sys.executable, "-m", "harness", "boot", "g5")
    at.expect("/ # ")
    at.setwinsize(33, 91)

    def choose(key: str) -> None:
        at.send(ESCAPE)
        at.expect("Enter to go back")
        at.send(key)

    choose("s")
    at.expect("name of the snapshot")
    at.send("here\r")
    at.expect("saved as 'here'")
    at.send("touch /later && stty size\r")
    at.expect("33 91")
    choose("r")
    at.expect("resume which of here")
    at.send("\r")
    at.expect("as it was at 'here'")
    at.send("ls /later\r")
    at.expect("No such file")
    choose("d")
    at.expect("testbed: u1 ")
    at.expect("/ # ")
    at.send("echo [$((6*7))] $(hostname)\r")
    at.expect(r"\[42\] u1")
    choose("y")
    at.expect("which key")
    at.send("h")
    choose("2")
    choose("q")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 0


def test_a_folder_of_the_host_and_its_network(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "from-host").write_text("one\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script = folder / "script.py"
        script.write_text(
            "assert dom0.must('cat /mnt/share/from-host') == 'one'\n"
            "dom0.must('echo two >/mnt/share/from-dom0')\n"
            f"print(dom0.must('wget -q -O - http://10.0.2.2:{server.server_port}/from-host'))\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "harness", "shell", "g5", "--share", folder, "--net", "--script", script],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "one" in done.stdout
    assert (folder / "from-dom0").read_text() == "two\n"


def test_a_prompt_with_python(person: Callable[..., pexpect.spawn[str]]) -> None:
    at = person(sys.executable, "-m", "harness", "shell", "g5", "--domu")
    at.expect(">>> ")
    at.sendline("domu.must('uname -n')")
    at.expect("'u1'")
    at.sendline("domu.save('x'); domu.restore('x'); dom0.run('false').status")
    at.expect(r"\b1\r\n")
    at.sendline("g5.qmp('query-status')")
    at.expect("'running': True")
    # Before its prompt is there the terminal is not readline's, and Ctrl-D is lost.
    at.expect(">>> ")
    at.sendeof()
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 0


@pytest.mark.machine("pseries-970", firmware="vof")
def test_fixtures_give_a_test_its_domains(dom0: Domain, domu: DomU) -> None:
    assert dom0.must("uname -n") == "dom0"
    assert domu.must("uname -n") == "u1"
    domu.pause()
    assert domu.qmp("query-status")["status"] == "paused"
    domu.unpause()
    domu.answers()


def test_a_machine_with_two_cpus_has_both_after_a_snapshot() -> None:
    with Simulator.start("pseries-970", firmware="vof", cpus=2) as machine:
        machine.snapshot("here")
        assert machine.dom0.must("touch /later; nproc") == "2"
        machine.resume("here")
        assert machine.dom0.run("ls /later").status != 0
        assert machine.dom0.must("nproc") == "2"
        machine.pause()
        with pytest.raises(UsageError, match="QEMU loses CPUs"):
            machine.snapshot("paused")


def test_a_machine_that_could_not_be_saved_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(machine: Machine, _: Path) -> None:
        await machine.qmp.execute("stop")
        raise SnapshotFailed("as asked")

    monkeypatch.setattr("harness.live.session.snapshot.save", fails)
    with Simulator.start("g5") as machine:
        with pytest.raises(SnapshotFailed, match="as asked"):
            machine.snapshot("here")
        machine.dom0.answers()


def test_breakpoints_in_the_hypervisor_and_in_its_guest() -> None:
    with Simulator.start("g5", domu=True, debugger=True) as machine:
        with machine.dom0.debugger() as gdb:
            gdb.breakpoint("kvmppc_handle_exit_pr")
            gdb.go_on()
            assert gdb.stopped().reason == "breakpoint-hit"
            assert gdb.frames()[0] == "kvmppc_handle_exit_pr"
            gdb.clear()
        machine.domu.answers()
        with machine.domu.debugger() as gdb:
            address = gdb.breakpoint("sys_newuname")
            machine.domu.type("uname -a\r")
            gdb.go_on()
            assert gdb.stopped().reason == "breakpoint-hit"
            assert gdb.registers()["pc"] == address
            gdb.clear()
        machine.domu.answers()


def test_gdb_at_a_domu_and_at_a_cell_that_fails(testbed: Testbed, tmp_path: Path) -> None:
    said = _said(
        testbed, 0, "debug", "g5", "--domain", "u1", "-e", "kbreak arch_cpu_idle", "-e", "continue", "-e", "bt"
    )
    assert "powerpc:common64" in said
    assert "big endian" in said
    # Wherever it was stopped: a guest with nothing to do comes there, from its idle loop.
    assert re.search(r"^Breakpoint 1, 0xc0\w+ in arch_cpu_idle \(\)", said, re.MULTILINE)
    assert re.search(r"^#\d+ +0xc0\w+ in do_idle \(\)", said, re.MULTILINE)
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"{ROW}prepare: [boot-dom0]\nsteps:\n  - run: {{domain: dom0, command: 'false'}}\n")
    _said(testbed, 1, "run", str(bad), "-p", "g5", "--kernel", "fixed")
    said = _said(testbed, 0, "debug", "last/bad", "--at-failure", "-e", "info registers msr", "-e", "bt")
    assert "fail at `run dom0`: `false` ended with 1" in said
    assert re.search(r"^msr +0x", said, re.MULTILINE)
    assert re.search(r"^#0 +0xc0", said, re.MULTILINE)


def test_hypercalls_of_a_boot_are_the_same_to_the_kernel_and_to_qemu(testbed: Testbed, tmp_path: Path) -> None:
    picture = tmp_path / "trace.svg"
    said = _said(testbed, 0, "trace", "g5", "--events", "hcall", "--svg", str(picture))
    table = {match[1]: int(match[2]) for match in re.finditer(r"hcall +(H_\w+) +(\d+)", said)}
    agreed = re.search(r"agree on (\d+) hypercalls: ([^(]*)\(", said.replace("\n", " "))
    assert agreed is not None, said
    both = {name: int(count) for name, count in re.findall(r"(H_\w+) (\d+)", agreed[2])}
    assert sum(both.values()) == int(agreed[1])
    assert both["H_PUT_TERM_CHAR"] > 100
    assert both == {name: table[name] for name in both}
    assert picture.read_text().startswith("<svg")


def test_a_command_is_traced_on_both_sides(testbed: Testbed) -> None:
    said = _said(testbed, 0, "trace", "g5", "--run", "ls / >/dev/console", "--events", "hcall,exit,irq")
    for kind, name in (("hcall", "H_PUT_TERM_CHAR"), ("exit", "DATA_STORAGE"), ("irq", "virtio1")):
        assert re.search(rf"^ *{kind} +{name} ", said, re.MULTILINE), said
    assert "sum_exits" in said


def test_a_scenario_that_boots_in_its_own_steps_is_traced_from_there(testbed: Testbed) -> None:
    said = _said(testbed, 0, "trace", "domu-boot", "-p", "g5", "--events", "hcall,exit")
    assert re.search(r"^ *exit +DATA_STORAGE ", said, re.MULTILINE), said
    assert "u1 has ended, and its trace with it" in said


def test_a_bundle_boots_with_a_qemu_and_nothing_else(
    testbed: Testbed, tmp_path: Path, person: Callable[..., pexpect.spawn[str]]
) -> None:
    _said(testbed, 0, "run", "domu-boot", "-p", "g5", "--kernel", "fixed", "-H", "kvm-pr")
    archive, place = tmp_path / "b.tar.gz", tmp_path / "empty"
    _said(testbed, 0, "reproduce", "last/domu-boot", "--bundle", str(archive))
    printed = _said(testbed, 0, "reproduce", "last/domu-boot", "--print")
    assert "-machine mac99" in printed
    qemu = resolve(find_cell("last/domu-boot").spec).qemu
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    shutil.rmtree(tmp_path / "results")
    assert str(PROJECT) not in (place / "b/run.sh").read_text()
    # QEMU and the programs of a plain PATH are all that it has.
    at = person(str(place / "b/run.sh"), PATH="/usr/bin:/bin", HOME=str(place), QEMU=" ".join(qemu.command))
    at.expect("testbed: dom0 ")
    at.expect("/ # ")
    at.send("sh /bundle/domu.sh\r")
    at.expect("testbed: u1 ")
    at.expect("/ # ")
    at.send("echo [$((6*7))] $(hostname)\r")
    at.expect(r"\[42\] u1")
    at.send("\x01x")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 0


def test_a_boot_is_recorded_and_replayed(testbed: Testbed, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    _said(testbed, 0, "record", "pseries-970", "--out", str(recording))
    said = _said(testbed, 0, "replay", str(recording))
    assert re.search(r"^the same: \d+ lines", said, re.MULTILINE)
    # What it must say is compared, not counted.
    log = recording / "console.log"
    log.write_bytes(log.read_bytes().replace(b"Linux version", b"Minix version"))
    assert "-" in _said(testbed, 1, "replay", str(recording))


def test_pictures_of_the_screen(tmp_path: Path) -> None:
    """Open Firmware's page, then the kernel's console with its logo."""
    with Simulator.start("g5", screen=True, cold=True) as machine:
        machine.screenshot(tmp_path / "linux.png")
        assert (tmp_path / "linux.png").read_bytes().startswith(b"\x89PNG")
        machine.qmp("screendump", filename=str(tmp_path / "linux.ppm"))
        linux = read_ppm((tmp_path / "linux.ppm").read_bytes())
        machine.dom0.expect("Run /init")
        machine.qmp("system_reset")
        # Until its kernel has a console of its own, all that is on the screen is the firmware's.
        machine.dom0.expect(r"console \[ttyPZ0\] enabled")
        machine.qmp("screendump", filename=str(tmp_path / "firmware.ppm"))
        firmware = read_ppm((tmp_path / "firmware.ppm").read_bytes())
    assert (linux.width, linux.height) == (firmware.width, firmware.height) == (800, 600)
    # The penguin has many colours, and the page of OpenBIOS is as pale a yellow as Apple's is white.
    assert len({linux.pixel(x, y) for x in range(80) for y in range(80)}) > 50
    assert firmware.pixel(799, 599) == b"\xff\xff\xcc"
    assert linux.pixel(799, 599) == b"\0\0\0"


def test_a_screen_that_shows_something_else(testbed: Testbed, tmp_path: Path) -> None:
    head = f"{ROW}machine: {{screen: true}}\nprepare: [boot-dom0]\nsteps:\n"
    for name, steps in {
        "missing": "  - screen-shows: no such words\n",
        "silent": "  - run: {domain: dom0, command: dmesg -n 1}\n  - screen-answers: dom0\n",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(head + steps)
        said = _said(testbed, 1, "run", str(path), "-p", "g5", "-H", "kvm-pr", "--kernel", "fixed")
        assert "the screen" in said
