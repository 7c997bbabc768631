"""A person at a live machine, whose QEMU is the fake one: console, menu, and every way out."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from base.paths import PROJECT

DRIVER = PROJECT / "tests/fakes/fake_boot.py"
ESCAPE = "\x1d"
Spawn = Callable[[str], "pexpect.spawn[str]"]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Spawn]:
    """Return a starter of `testbed boot` with a fake QEMU of a given behaviour."""
    spawned: list[pexpect.spawn[str]] = []

    def start(behaviour: str) -> pexpect.spawn[str]:
        person = pexpect.spawn(
            sys.executable,
            [str(DRIVER), behaviour, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm"},
            timeout=20,
            encoding="utf-8",
        )
        spawned.append(person)
        return person

    yield start
    for person in spawned:
        person.close(force=True)


def _choose(person: pexpect.spawn[str], key: str) -> None:
    person.send(ESCAPE)
    person.expect("Enter to go back")
    person.send(key)


def _leave(person: pexpect.spawn[str], before: list[Any] | None = None) -> None:
    _choose(person, ESCAPE)
    person.expect("the log is in")
    person.expect(pexpect.EOF)
    after = termios.tcgetattr(person.child_fd)
    person.close()
    assert person.exitstatus == 0
    assert before in (None, after)


def test_what_is_typed_goes_in_and_what_comes_out_is_shown_and_kept(boot: Spawn, tmp_path: Path) -> None:
    person = boot("echo-console")
    before = termios.tcgetattr(person.child_fd)
    person.expect("Ctrl-] for the menu")
    person.expect("Linux version fake")
    person.send("hello\r")
    person.expect("got: hello")
    _leave(person, before)
    assert b"got: hello" in (tmp_path / "console/dom0.log").read_bytes()


def test_the_menu_goes_back_and_nothing_of_the_console_is_missed_or_shown_twice(boot: Spawn) -> None:
    person = boot("echo-console")
    person.expect("Linux version fake")
    person.send("one" + ESCAPE)
    person.expect("Enter to go back")
    person.send("\r")
    person.send("two\r")
    person.expect("got: two")
    assert "Linux version" not in str(person.before)
    _leave(person)


def test_the_escape_key_itself_can_be_sent(boot: Spawn, tmp_path: Path) -> None:
    person = boot("echo-console")
    person.expect("Linux version fake")
    _choose(person, "]")
    person.send("after\r")
    person.expect("after")
    _leave(person)
    assert ESCAPE.encode() in (tmp_path / "console/dom0.log").read_bytes()


def test_a_qmp_prompt(boot: Spawn) -> None:
    person = boot("echo-console")
    person.expect("Linux version fake")
    _choose(person, "m")
    person.expect(r"\(QMP\) ")
    person.send("query-status\r")
    person.expect('"status": "running"')
    person.expect(r"\(QMP\) ")
    person.send("fail\r")
    person.expect("as asked")
    person.send("hmp info registers\r")
    person.expect("fake registers")
    person.send("nonsense without sign\r")
    person.expect("'without' is not NAME=VALUE")
    person.expect(r"\(QMP\) ")
    person.send("\r")
    person.send("back\r")
    person.expect("got: back")
    _leave(person)


def test_the_second_console_and_back(boot: Spawn) -> None:
    person = boot("echo-console")
    person.expect("Linux version fake")
    _choose(person, "2")
    person.expect("this is dom0's second console")
    person.send("echo $((6*7))\n")
    person.expect("42")
    _choose(person, "2")
    person.expect("this is dom0;")
    person.send("again\r")
    person.expect("got: again")
    _leave(person)


def test_trouble_in_the_menu_ends_nothing(boot: Spawn) -> None:
    person = boot("echo-console")
    person.expect("Linux version fake")
    _choose(person, "i")
    person.expect("no picture: There is no console")
    person.send("on\r")
    person.expect("got: on")
    _leave(person)


def test_a_panic_is_told_and_the_person_stays(boot: Spawn) -> None:
    person = boot("panic")
    person.expect("Kernel panic")
    person.expect("not as expected")
    _leave(person)


def test_a_machine_that_switches_itself_off(boot: Spawn) -> None:
    person = boot("power-off")
    person.expect("the machine was switched off")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0


def test_a_qemu_that_crashes_is_told(boot: Spawn) -> None:
    person = boot("abort")
    person.expect("QEMU crashed with SIGABRT")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus != 0
