"""A person at `testbed boot`."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import termios
import time
from pathlib import Path

import pexpect
import pytest

from base.paths import PROJECT

LEAVE = "\x1d\x1d"


def _boot(*words: str) -> pexpect.spawn[str]:
    return pexpect.spawn(
        sys.executable,
        ["-m", "harness", "boot", *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm"},
        timeout=180,
        encoding="utf-8",
        codec_errors="replace",
    )


def _leave(person: pexpect.spawn[str]) -> None:
    person.send(LEAVE)
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0, person.before


def test_a_console_of_dom0_and_the_terminal_as_it_was() -> None:
    person = _boot("g5")
    before = termios.tcgetattr(person.child_fd)
    person.expect("Ctrl-\\] for the menu, twice to leave")
    person.expect("/ # ")
    person.send("echo [$((6*7))] $(hostname)\r")
    person.expect(r"\[42\] dom0")
    assert termios.tcgetattr(person.child_fd) != before
    person.send(LEAVE)
    person.expect(pexpect.EOF)
    assert termios.tcgetattr(person.child_fd) == before
    person.close()
    assert person.exitstatus == 0


def test_a_terminal_is_restored_when_it_is_ended() -> None:
    person = _boot("g5")
    before = termios.tcgetattr(person.child_fd)
    person.expect("/ # ")
    person.kill(signal.SIGTERM)
    person.expect(pexpect.EOF)
    assert termios.tcgetattr(person.child_fd) == before
    person.close()
    assert person.exitstatus == 128 + signal.SIGTERM


def test_straight_into_a_domu() -> None:
    person = _boot("pseries-970", "--firmware", "vof", "--domu")
    person.expect("dom0 and a domU start")
    person.expect("/ # ")
    person.send("echo [$((6*7))] $(hostname)\r")
    person.expect(r"\[42\] u1")
    _leave(person)


def test_ctrl_c_ends_a_boot_that_is_waited_for() -> None:
    person = _boot("g5", "--domu", "--cold")
    person.expect("dom0 and a domU start")
    person.sendintr()
    person.expect("interrupted")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 130


def test_a_debugger_finds_the_machine_before_its_first_instruction() -> None:
    person = _boot("g5", "--gdb")
    person.expect(r"target remote ([^']+)'")
    assert isinstance(person.match, re.Match)
    with socket.socket(socket.AF_UNIX) as debugger:
        debugger.settimeout(60)
        while debugger.connect_ex(str(person.match[1])) != 0:
            time.sleep(0.05)  # QEMU is still starting
        debugger.sendall(b"+$?#3f")  # "why have you stopped?" in gdb's remote protocol
        answer = b""
        while b"#" not in answer:
            answer += debugger.recv(100)
        assert answer.lstrip(b"+").startswith(b"$T05")
        debugger.sendall(b"+$c#63")
        person.expect("/ # ")
    _leave(person)


def test_switching_off_from_inside_ends_it() -> None:
    person = _boot("pseries-970", "--firmware", "vof")
    person.expect("/ # ")
    person.send("poweroff -f\r")
    person.expect("switched off")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["g5x"], "no platform 'g5x'; did you mean 'g5'"),
        (["g5", "--kernel", "/etc/passwd"], "/etc/passwd: a text file, not an ELF file"),
        (["g5", "--kernel", sys.executable], "an ELF file for "),
        (["g5", "--initrd", "/none"], "cannot read the initramfs /none"),
        (["g5", "-H", "zen"], "no hypervisor 'zen'"),
        (["g5", "--firmware", "slof"], "platform g5 has no firmware 'slof'"),
    ],
)
def test_bad_input_is_told_and_ends_with_2(words: list[str], said: str) -> None:
    person = _boot(*words)
    person.expect_exact(said)
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 2


def test_an_own_kernel(tmp_path: Path) -> None:
    import images

    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(images.ensure(["linux-970-stock"])["linux-970-stock"].file("vmlinux").read_bytes())
    person = _boot("pseries-970", "--firmware", "vof", "--kernel", str(kernel))
    person.expect("/ # ")
    person.send("uname -r\r")
    person.expect(r"6\.\d+\.\d+-stock")
    _leave(person)
