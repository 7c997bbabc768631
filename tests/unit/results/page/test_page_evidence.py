"""What is copied out of a result directory, and when things happened in it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.entries import CellStart, Entry, StepStart
from results.page.clock import Clock, TimeLine, read_marks, read_timeline
from results.page.evidence import PNG, READ_MOST, Evidence
from results.page.excerpt import Excerpt, read_excerpt
from results.page.timeline import LEAST, Span, draw
from tests.unit.results.builders import cell

WALL = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def copied(directory: Path, target: Path) -> dict[str, str]:
    """Copy a directory's evidence and return the notes of the copies by their paths."""

    def place(name: str) -> str:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        return str(target / name)

    return {file.path: file.note for file in Evidence(directory).copy(place)}


def put(directory: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_text_gets_a_name_that_nothing_takes_for_a_page(tmp_path: Path) -> None:
    put(
        tmp_path / "r",
        console__dom0_log=b"<script>",
        qmp__machine_jsonl=b"{}\n",
        autopsy_txt=b"r",
        x_html=b"<p>",
        y_svg=b"<svg>",
    )
    assert set(copied(tmp_path / "r", tmp_path / "t")) == {
        "autopsy.txt.txt",
        "console/dom0.log.txt",
        "qmp/machine.jsonl.txt",
    }
    assert all(path.suffix == ".txt" for path in (tmp_path / "t").rglob("*") if path.is_file())


def test_a_picture_is_one_by_its_content_and_only_whole(tmp_path: Path) -> None:
    large = PNG + bytes(READ_MOST)
    put(
        tmp_path / "r",
        screens__good_png=PNG + b"...",
        screens__bad_png=b"<svg onload=alert(1)>",
        screens__large_png=large,
    )
    assert set(copied(tmp_path / "r", tmp_path / "t")) == {"screens/good.png"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    result = tmp_path / "r"
    result.mkdir()
    (result / "alarm.txt").symlink_to(secret)
    (result / "console").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(result / "pipe.log")
    assert copied(result, tmp_path / "t") == {}


def test_a_large_file_is_cut_and_says_so(tmp_path: Path) -> None:
    log = b"first line\n" + b"x" * 99 + b"\n"
    with (tmp_path / "console.log").open("wb") as stream:
        stream.write(log)
        stream.seek(100 << 20)
        stream.write(b"\nlast line\n")
    notes = copied(tmp_path, tmp_path / "t")
    copy = (tmp_path / "t" / "console.log.txt").read_bytes()
    assert len(copy) < READ_MOST + 100
    assert copy.startswith(b"first line\n")
    assert copy.endswith(b"\nlast line\n")
    assert b"bytes are left out here ...]" in copy
    assert notes["console.log.txt"].startswith("its first ")


@given(st.lists(st.text("ab", max_size=9).map(str.encode), max_size=60), st.integers(20, 200))
def test_an_excerpt_is_whole_or_begins_and_ends_with_whole_lines(lines: list[bytes], limit: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    excerpt = Excerpt(len(data), data).cut(limit, limit // 2)
    assert len(excerpt.head) + len(excerpt.tail) <= max(limit, 0) or excerpt.head == data
    assert data.startswith(excerpt.head)
    assert data.endswith(excerpt.tail)
    if excerpt.left_out:
        assert excerpt.head.endswith(b"\n")
        assert data[: excerpt.tail_offset].endswith(b"\n")


def test_reading_a_file_cuts_as_an_excerpt_does(tmp_path: Path) -> None:
    data = b"".join(b"%d\n" % number for number in range(2000))
    (tmp_path / "f").write_bytes(data)
    assert read_excerpt(str(tmp_path / "f"), 1000, 300) == Excerpt(len(data), data).cut(1000, 300)


def journal(first_step: float) -> list[Entry]:
    return [
        CellStart(t=0.0, wall=WALL, run="r", cell=cell(), declared=()),
        StepStart(t=first_step, wall=WALL, index=0, section="prepare", verb="boot-dom0"),
    ]


def transcript(directory: Path, name: str, *lines: dict[str, object]) -> None:
    path = directory / "qmp" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_greeting_tells_when_its_machine_began(tmp_path: Path) -> None:
    transcript(tmp_path, "machine", {"t": 2.0, "greeting": {}, "wall": "2026-11-24T12:00:05.500+00:00"})
    transcript(tmp_path, "other.machine", {"t": 0.0, "greeting": {}, "wall": "2026-11-24T12:00:09+00:00"})
    clock = Clock(Evidence(tmp_path), journal(1.0))
    assert [clock.shift(name) for name in ("dom0", "dom0-command", "u1", "other", "other-command")] == [
        3.5,
        3.5,
        3.5,
        9,
        9,
    ]
    assert not clock.approximate


def test_events_tell_it_too_but_not_those_of_a_guests_qemu(tmp_path: Path) -> None:
    stamp = {"seconds": int(WALL.timestamp()) + 10, "microseconds": 250000}
    transcript(tmp_path, "u1", {"t": 3.0, "event": "RESUME", "timestamp": {"seconds": 5, "microseconds": 0}})
    transcript(tmp_path, "machine", {"t": 8.0, "event": "STOP", "timestamp": stamp})
    assert Clock(Evidence(tmp_path), journal(1.0)).shift("u1") == pytest.approx(2.25)


def test_without_either_the_machine_began_with_the_first_step(tmp_path: Path) -> None:
    transcript(tmp_path, "machine", {"t": 8.0, "execute": "cont"})
    clock = Clock(Evidence(tmp_path), journal(1.5))
    assert clock.shift("dom0") == 1.5
    assert clock.approximate


@pytest.mark.parametrize("wall", ["yesterday", 5, None, "0001-01-01T00:00:00+23:59", {"seconds": "x"}])
def test_nonsense_is_no_time(tmp_path: Path, wall: object) -> None:
    transcript(tmp_path, "machine", {"t": 0.0, "wall": wall}, {"t": 1.0, "event": "E", "timestamp": wall})
    assert Clock(Evidence(tmp_path), journal(1.5)).shift("dom0") == 1.5


def test_a_time_line_that_is_damaged_is_read_as_far_as_it_makes_sense() -> None:
    lines = b'{"t":1.0,"offset":0}\nrubbish\n{"t":NaN,"offset":5}\n{"t":2.0,"offset":9}\n{"t":0.5,"offset":1}\n{"t":3.0'
    found = read_timeline(Excerpt(len(lines), lines), 10.0)
    assert found == TimeLine((0, 9), (11.0, 12.0))
    assert [found.at(offset) for offset in (0, 8, 9, 500)] == [11.0, 11.0, 12.0, 12.0]


def test_marks_are_what_was_said() -> None:
    lines = b'{"t":1,"execute":"stop"}\n{"t":2,"return":{}}\n{"t":3,"event":"STOP"}\n{"t":4,"event":["x"]}\n'
    assert [(mark.t, mark.text, mark.event) for mark in read_marks(Excerpt(len(lines), lines), 1.0)] == [
        (2.0, "stop", False),
        (4.0, "STOP", True),
    ]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_lines(head: bytes, tail: bytes) -> None:
    assert all(isinstance(entry, dict) for entry in Excerpt(len(head) + len(tail), head, tail).lines)


def test_deeply_nested_json_is_passed_over() -> None:
    data = b'{"a":' * 100_000 + b'\n{"t":1}\n'
    assert Excerpt(len(data), data).lines == [{"t": 1}]


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=9),
    st.lists(st.floats(0, 1e6), max_size=50).map(sorted),
)
def test_everything_drawn_is_within_the_picture(steps: list[tuple[float, float]], times: list[float]) -> None:
    spans = [Span(min(pair), max(pair), "pass", 1, "") for pair in steps]
    picture = draw(spans, {"dom0": TimeLine(tuple(range(len(times))), tuple(times))}, {})
    if picture is None:
        assert max([*(end for _, end in steps), *(begin for begin, _ in steps), *times], default=0) < LEAST
        return
    for bar in picture.bars:
        assert picture.left <= bar.x <= picture.width
        assert bar.x + bar.width <= picture.width
    assert all(picture.left <= x <= picture.width for x, _ in picture.axis)
    assert 2 <= len(picture.axis) <= 12
