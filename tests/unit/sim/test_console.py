"""The console reader: nothing lost, nothing matched that should not be."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.alarms import linux_alarms
from sim.console import EXCERPT_LINES, Console, ConsoleClosed
from sim.shell import Shell


def _with_console(folder: Path, scene: Callable[[Console, socket.socket], Awaitable[None]]) -> None:
    async def play() -> None:
        ours, theirs = socket.socketpair()
        console = Console("u1", ours, folder, began=0.0, alarms=linux_alarms())
        await console.open()
        try:
            await scene(console, theirs)
        finally:
            theirs.close()
            await console.close()

    asyncio.run(play())


@given(cuts=st.lists(st.integers(0, 30), max_size=6))
def test_a_marker_is_found_however_it_is_split(cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = b"noise <marker-42> and the rest"

    async def scene(console: Console, _: socket.socket) -> None:
        waiting = asyncio.ensure_future(console.expect(r"<marker-(\d+)>"))
        await asyncio.sleep(0)
        edges = [0, *sorted(cuts), len(text)]
        for start, end in itertools.pairwise(edges):
            console.feed(text[start:end])
        found = await asyncio.wait_for(waiting, 1)
        assert (found.groups, found.before) == ((b"42",), b"noise ")

    _with_console(tmp_path_factory.mktemp("console"), scene)


def test_a_match_is_handed_out_once_and_in_order(tmp_path: Path) -> None:
    async def scene(console: Console, _: socket.socket) -> None:
        console.feed(b"one 1 two 2 ")
        assert (await console.expect(r"\d")).text == b"1"
        assert (await console.expect(r"\d")).text == b"2"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(console.expect(r"\d"), 0.05)

    _with_console(tmp_path, scene)


def test_an_echoed_challenge_is_not_an_answer(tmp_path: Path) -> None:
    async def scene(console: Console, guest: socket.socket) -> None:
        challenge = asyncio.ensure_future(Shell(console).challenge())
        await asyncio.sleep(0.05)
        typed = guest.recv(4096)
        guest.sendall(typed)  # a terminal that only echoes
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(challenge), 0.2)
        left, right = (int(n) for n in typed.split(b"((")[1].split(b"))")[0].split(b"*"))
        guest.sendall(b"<%d>\r\n" % (left * right))
        await asyncio.wait_for(challenge, 1)

    _with_console(tmp_path, scene)


def test_an_echoed_command_is_not_its_answer(tmp_path: Path) -> None:
    async def scene(console: Console, guest: socket.socket) -> None:
        run = asyncio.ensure_future(Shell(console).run("true"))
        await asyncio.sleep(0.05)
        guest.sendall(guest.recv(4096) * 3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.2)

    _with_console(tmp_path, scene)


def test_the_other_ends_close_ends_the_wait(tmp_path: Path) -> None:
    async def scene(console: Console, guest: socket.socket) -> None:
        waiting = asyncio.ensure_future(console.expect("never"))
        await asyncio.sleep(0)
        guest.close()
        with pytest.raises(ConsoleClosed):
            await asyncio.wait_for(waiting, 1)
        with pytest.raises(ConsoleClosed):
            await console.expect("never")

    _with_console(tmp_path, scene)


@pytest.mark.parametrize(
    ("line", "alarming"),
    [
        (b"[    3.0] Kernel panic - not syncing: No working init found.\r\n", True),
        (b"[    3.0] Oops: Kernel access of bad area, sig: 11 [#1]\r\n", True),
        (b"[    3.0] BUG: Bad page state in process init\r\n", True),
        (b"[    3.0] kernel BUG at mm/slub.c:305!\r\n", True),
        (b"( 700 ) Program Exception [ 3daf04c4 ]\r\n", True),
        (b"Exception [ none ] of a rule\r\n", False),
        (b"[    3.0] kernel.oops_limit = 10000, panic=5\r\n", False),
        (b"[    3.0] DEBUG: nothing to see\r\n", False),
    ],
)
def test_what_alarms(line: bytes, alarming: bool, tmp_path: Path) -> None:
    async def scene(console: Console, _: socket.socket) -> None:
        console.feed(line[:12])
        console.feed(line[12:])
        assert console.alarming is alarming

    _with_console(tmp_path, scene)


def test_memory_stays_bounded_while_nobody_waits(tmp_path: Path) -> None:
    async def scene(console: Console, _: socket.socket) -> None:
        for _number in range(300):
            console.feed(b"x" * 65535 + b"\n")
        assert console.received == 300 << 16
        assert len(console._buffer) <= 4 << 20

    _with_console(tmp_path, scene)


def test_an_oops_is_read_to_its_end_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.console.SETTLE_QUIET", 0.4)
    monkeypatch.setattr("sim.console.SETTLE_MOST", 1.5)

    async def scene(console: Console, _: socket.socket) -> None:
        began = asyncio.get_running_loop().time()
        console.feed(b"Kernel panic - not syncing: x\n")
        for number in itertools.count():
            if console.alarm.done():
                break
            await asyncio.sleep(0.1)
            console.feed(b"line %d\n" % number)
        took = asyncio.get_running_loop().time() - began
        assert 1.4 < took < 6, "it ends by the cap, because the console is never silent"
        assert "line 5" in (await console.alarm).excerpt

    _with_console(tmp_path, scene)


def test_a_flood_after_an_alarm_is_read_until_an_excerpt_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.console.SETTLE_QUIET", 60.0)
    monkeypatch.setattr("sim.console.SETTLE_MOST", 60.0)

    async def scene(console: Console, _: socket.socket) -> None:
        console.feed(b"Kernel panic - not syncing: x\n")
        for number in range(EXCERPT_LINES):
            console.feed(b"line %d\n" % number)
        await asyncio.sleep(0.1)
        assert not console.alarm.done()
        console.feed(b"one more\n")
        excerpt = (await asyncio.wait_for(console.alarm, 10)).excerpt
        assert len(excerpt.splitlines()) == EXCERPT_LINES

    _with_console(tmp_path, scene)


def test_what_comes_byte_by_byte_is_read_in_few_pieces(tmp_path: Path) -> None:
    async def scene(console: Console, theirs: socket.socket) -> None:
        theirs.setblocking(False)
        pieces: list[bytes] = []
        console.tap(pieces.append)
        waiting = asyncio.ensure_future(console.expect("end"))
        for byte in b"x" * 500 + b"end":
            await asyncio.get_running_loop().sock_sendall(theirs, bytes([byte]))
        await asyncio.wait_for(waiting, 10)
        assert b"".join(pieces) == b"x" * 500 + b"end"
        assert len(pieces) < 100

    _with_console(tmp_path, scene)
