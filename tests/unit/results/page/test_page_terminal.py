"""Consoles as a person saw them."""

from __future__ import annotations

import unicodedata

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.page import terminal
from results.page.terminal import COLUMNS, LINES_MOST, ROWS, Line, render, visible


def shown(data: bytes) -> list[str]:
    return [line.text for line in render(data, lambda _: None)[0]]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\r\ntwo\nthree", ["one", "two", "three"]),
        (b"\r\n\r\nlast\r\r\n", ["", "", "last"]),
        (b"a\tb\r\n", ["a       b"]),
        # A carriage return and a backspace write over what was there.
        (b"10%\r20%\r\n", ["20%"]),
        (b"wait |\b/\b-\bdone\r\n", ["wait done"]),
        (b"\x1b[31mred\x1b[0m plain\r\n", ["red plain"]),
        (b"lost line\x1b[2K\rkept\r\n", ["kept"]),
        # The cursor goes up into lines that were plain.
        (b"first\r\nsecond\r\n\x1b[2A\x1b[5Cly\x1b[2B\r", ["firstly", "second"]),
        # What a menu or firmware wiped was on the screen before.
        (b"menu\r\n\x1b[2J\x1b[Hafter\r\n", ["menu", "after"]),
        (b"menu\r\n\x1b[H\x1b[Jafter\r\n", ["menu", "after"]),
        (b"menu\r\n\x1bcafter\r\n", ["menu", "after"]),
        # Titles, clipboards and other strings are no output, ended or not.
        (b"\x1b]0;owned\x07one\r\n\x1b]52;c;aGk=\x1b\\two\r\n\x1bPq#0\x1b\\three\r\n", ["one", "two", "three"]),
        (b"\x1b]0;never ended\r\nnext\r\n", ["", "next"]),
        # Answers that a terminal would send are sent to nobody.
        (b"\x1b[c\x1b[6n\x05ok\r\n", ["ok"]),
        (b"a\x00b\x07c\r\n", ["abc"]),
        (b"caf\xc3\xa9 \xff\xfe!\r\n", ["caf\u00e9 \ufffd\ufffd!"]),
        (b"<script>alert(1)</script>&amp;\r\n", ["<script>alert(1)</script>&amp;"]),
    ],
)
def test_what_a_person_saw(data: bytes, lines: list[str]) -> None:
    assert shown(data) == lines


def test_looks_become_classes() -> None:
    (line,) = render(b"\x1b[1;31mbad\x1b[0m \x1b[7mmenu\x1b[m \x1b[4;32mfine\x1b[m\r\n", lambda _: None)[0]
    assert [tuple(span) for span in line.spans] == [
        ("bad", "red bold"), (" ", ""), ("menu", "reverse"), (" ", ""), ("fine", "green underline"),
    ]  # fmt: skip


def test_each_line_has_the_time_of_its_last_byte_on_the_screen() -> None:
    data = b"plain\r\n\x1b[32mgreen\x1b[0m\r\nplain again\r\n"
    starts = {0: 1.0, 7: 2.0, 23: 3.0}
    lines, _ = render(data, lambda offset: starts[max(start for start in starts if start <= offset)])
    assert [(line.text, line.time) for line in lines] == [("plain", 1.0), ("green", 2.0), ("plain again", 3.0)]


def test_offsets_count_from_where_the_data_begins_in_its_log() -> None:
    asked: list[int] = []
    render(b"a\r\nb\r\n", asked.append, 1000)
    assert asked == [1000, 1003]


def test_lines_that_scroll_off_are_kept_and_the_emulator_is_left_again() -> None:
    lines = [f"line {number}" for number in range(200)]
    data = ("\x1b[0m" + "\r\n".join(lines) + "\r\n").encode()
    machine = terminal._Terminal()
    for piece in terminal._pieces(data):
        machine.feed(piece, None)
    assert machine._screen is None
    machine.finish()
    assert [line.text for line in machine.lines] == lines


def test_an_endless_line_is_folded_and_bounded() -> None:
    found = shown(b"x" * 100_000)
    assert "".join(found) == "x" * 100_000
    assert max(map(len, found)) == COLUMNS


def test_too_many_lines_keep_the_last_and_say_so() -> None:
    lines, remarks = render(b"old\n" * 10 + b"new\n" * LINES_MOST, lambda _: None)
    assert {line.text for line in lines} == {"new"}
    assert remarks == (f"the first 10 of {LINES_MOST + 10} lines are left out",)


def test_emulation_has_a_limit_beyond_which_sequences_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "EMULATED_MOST", 40)
    lines, remarks = render(b"\x1b[1mbold line of text\x1b[0m\r\n" * 4, lambda _: None)
    assert [line.text for line in lines] == ["bold line of text"] + ["\u241b[1mbold line of text\u241b[0m"] * 3
    assert "3 lines after them" in remarks[0]


def test_a_sequence_that_the_emulator_trips_over_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(self: object, *_: object, **__: object) -> None:
        raise TypeError("unexpected keyword argument 'private'")

    monkeypatch.setattr(terminal._Screen, "cursor_up", trip)
    assert shown(b"before\r\n\x1b[Abad\r\nafter\r\n") == ["before", "\u241b[Abad", "after"]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("plain", "plain"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("a\u200bb\ufeff", "a<U+200B>b<U+FEFF>"),
        ("\x00\x1b\x7f\x9b", "\u2400\u241b\u2421<U+009B>"),
        ("tab\there", "tab\there"),
        ("\u05d0 \u4e2d \U0001f600", "\u05d0 \u4e2d \U0001f600"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_what_has_no_shape_is_spelled_out(text: str, spelled: str) -> None:
    assert visible(text) == spelled


# Bytes as consoles, and those who mean ill, send them.
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\r\n", b"\n", b"\r", b"\b", b"\t", b"\x1b[", b"\x1b]0;", b"\x07", b"\x1bP", b"\x1b[2J"]),
        st.sampled_from(
            [b"\x1b[?1049h", b"\x1b[3;7r", b"\x1b[999999999999A", b"\x1b[?3h", b"\x1b(0", b"\x0e", b"\x1bc"]
        ),
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.tuples(st.integers(0, 99999), st.sampled_from("ABCDEFGHJKLMPXZ@`abcdefghlmnqrsu")).map(
            lambda pair: b"\x1b[%d%s" % (pair[0], pair[1].encode())
        ),
    ),
    max_size=40,
).map(b"".join)


@given(PIECES)
@settings(max_examples=300)
def test_no_input_breaks_it_or_leaves_a_control_character(data: bytes) -> None:
    lines, _ = render(data, float)
    for line in lines:
        assert isinstance(line, Line)
        for char in line.text:
            assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
            assert unicodedata.bidirectional(char) not in (
                "RLO",
                "LRO",
                "RLE",
                "LRE",
                "RLI",
                "LRI",
                "FSI",
                "PDI",
                "PDF",
            )
        assert all(set(span.look) <= set("abcdefghijklmnopqrstuvwxyz ") for span in line.spans)


def test_a_line_that_was_deleted_leaves_its_time_to_no_other() -> None:
    # Lines of a screen are told apart by their identity, which Python gives again to another.
    data = b"\x1b[H" + b"".join(b"\x1b[M\x1b[%dHnumber %d" % (n % 9 + 1, n) for n in range(300)) + b"\r\n"
    screen = terminal._Screen(lambda _: None)
    pyte.Stream(screen).feed(data.decode())
    assert all(id(row) == key for key, (row, _) in screen._times.items())
    assert len({id(row) for row, _ in screen._times.values()}) == len(screen._times)
    assert render(data, float) == render(data, float)


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(lambda text: text.rstrip())


@given(st.lists(PRINTABLE, max_size=3 * ROWS))
def test_plain_lines_are_the_same_with_and_without_the_emulator(lines: list[str]) -> None:
    data = "".join(f"{line}\r\n" for line in lines).encode()
    simple, plain, emulated = shown(data), shown(b"caf\xc3\xa9\r\n" + data)[1:], shown(b"\x1b[0m" + data)
    assert simple == plain == lines
    # A screen has no empty lines at its end.
    assert emulated == lines[: len(emulated)]
    assert not any(lines[len(emulated) :])
