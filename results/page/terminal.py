"""A console as a person saw it: control sequences obeyed by a terminal emulator, lines kept as they scroll away."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyte
from pyte.screens import Char

# A terminal of the usual height, and so wide that lines of a kernel's log are not folded.
ROWS = 24
COLUMNS = 400
TAB = 8
# Emulation is slow (some 100 kB/s): so many bytes of a console go through it, the rest shows its sequences.
EMULATED_MOST = 512 << 10
# Output without a newline is handed on in pieces of this many bytes.
PIECE = 16 << 10
LINES_MOST = 20_000

# Short lines with their ends, few enough to be all kept.
_SIMPLE = re.compile(rb"(?:[\x20-\x7e]{0,400}\r?\n){0,20000}")
_PLAIN = re.compile(r"[\t\x20-\x7e\xa0-\U0010ffff]*")
# Operating system commands and other strings (window titles, clipboard): nothing of them is shown on a screen.
_STRINGS = re.compile("(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?")
# Controls that do nothing on a screen; the emulator would lose what follows them.
_IDLE = re.compile("[\x00-\x06\x10-\x17\x19\x1c-\x1f\x7f-\x9a\x9c-\x9f]")
# What has no shape of its own, or moves its neighbours: controls, bidirectional marks, joiners, tags, surrogates, and
# marks that enclose the numbers after them.
_SHAPELESS = re.compile(
    "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
# Pyte's names of colours, and the classes that stand for them; black and white are left to the page's theme.
_COLOURS = {"red": "red", "green": "green", "brown": "yellow", "blue": "blue", "magenta": "magenta", "cyan": "cyan"}
_GROUNDS = ("default", "black")
_PLAIN_LOOK = Char(" ")[1:]


class Span(NamedTuple):
    """Text of one look; `look` are CSS classes: `red`, `bold`, `reverse`..."""

    text: str
    look: str = ""


class Line(NamedTuple):
    """A line of the screen, and when it was written last, in seconds on the caller's clock (None: not known).

    `text` is without its looks; `looks` is empty if all of it has the usual one, which most lines have.
    """

    text: str
    time: float | None = None
    looks: tuple[Span, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The line with its looks."""
        return self.looks or ((Span(self.text),) if self.text else ())


def visible(text: str) -> str:
    """Return text in which every character that has no shape, or that moves others, is spelled out.

    Control characters become Unicode's pictures of them, others `<U+202E>`; tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return _SHAPELESS.sub(_picture, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\t":
        return "\t"
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def render(data: bytes, when: Callable[[int], float | None], offset: int = 0) -> tuple[list[Line], tuple[str, ...]]:
    """Return the lines that a person at the console saw, and remarks on what could not be shown as it was.

    `when` tells the time of a byte by its place in the log, in which `data` begins at `offset`. Invalid UTF-8 becomes
    U+FFFD. At most LINES_MOST lines are returned, the last ones. Raises nothing for any input.
    """
    start = _simple_until(data)
    simple = _simple(data[:start], when, offset)
    if start == len(data):
        return simple, ()
    terminal = _Terminal(simple)
    for piece in _pieces(data, start):
        terminal.feed(piece, when(offset + start))
        start += len(piece)
    terminal.finish()
    return list(terminal.lines), terminal.remarks()


def _simple_until(data: bytes) -> int:
    """Return where the lines of nothing but printable ASCII end, with which most logs begin, or which are all."""
    found = _SIMPLE.match(data)
    return found.end() if found else 0


def _simple(data: bytes, when: Callable[[int], float | None], offset: int) -> list[Line]:
    """Return such lines: the same as the terminal's, but quickly."""
    found = []
    for line in data.decode("ascii").split("\n")[:-1]:
        found.append(Line(line.rstrip("\r"), when(offset)))
        offset += len(line) + 1
    return found


def _pieces(data: bytes, start: int = 0) -> Iterator[bytes]:
    while start < len(data):
        end = data.find(b"\n", start, start + PIECE) + 1 or min(start + PIECE, len(data))
        yield data[start:end]
        start = end


class _Terminal:
    """Takes plain lines as they are, and the emulator only where there is something to obey.

    `simple` are lines that came before.
    """

    def __init__(self, simple: Sequence[Line] = ()) -> None:
        kept, reachable = simple[: -(ROWS - 1)], simple[-(ROWS - 1) :]
        self.lines: deque[Line] = deque(kept, maxlen=LINES_MOST)
        self._added = len(kept)
        # Lines that a sequence may still reach: the screen above the cursor.
        self._reachable: deque[Line] = deque(reachable)
        self._screen: _Screen | None = None
        self._stream = pyte.Stream()
        self._quiet = 0  # plain lines since the last sequence
        self._emulated = 0
        self._refused = 0
        self._open = ""  # a plain line without its newline yet

    def feed(self, piece: bytes, now: float | None) -> None:
        text = piece.decode("utf-8", "replace")
        whole = text.endswith("\n")
        body = text.rstrip("\r\n") if whole else text
        plain = _PLAIN.fullmatch(body) is not None
        if self._screen is None and plain:
            self._plain(body, now, whole)
            return
        if self._emulated + len(piece) > EMULATED_MOST:
            self._leave()
            self._plain(body, now, whole)
            self._refused += 1
            return
        screen = self._screen or self._enter(now)
        self._emulated += len(piece)
        screen.now = now
        self._obey(screen, _IDLE.sub("", _STRINGS.sub("", text)))
        self._quiet = self._quiet + 1 if plain and whole else 0
        # All that was drawn has scrolled away, so nothing is left that the emulator would know better.
        if self._quiet > ROWS and screen.at_rest:
            self._leave()

    def finish(self) -> None:
        self._leave()
        if self._open:
            self._plain("", None, whole=True)
        self._give_up_reach(0)

    def remarks(self) -> tuple[str, ...]:
        found = []
        if self._refused:
            found.append(
                f"only the first {EMULATED_MOST >> 10} KiB with control sequences were emulated; "
                f"{self._refused} lines after them show their sequences"
            )
        if self._added > LINES_MOST:
            found.append(f"the first {self._added - LINES_MOST} of {self._added} lines are left out")
        return tuple(found)

    def _plain(self, body: str, now: float | None, whole: bool) -> None:
        body = self._open + body
        self._open = ""
        while len(body) > COLUMNS:
            self._reach(body[:COLUMNS], now)
            body = body[COLUMNS:]
        if whole:
            self._reach(body, now)
        else:
            self._open = body

    def _reach(self, text: str, now: float | None) -> None:
        self._reachable.append(Line(visible(text).expandtabs(TAB), now))
        self._give_up_reach(ROWS - 1)

    def _give_up_reach(self, kept: int) -> None:
        while len(self._reachable) > kept:
            self._keep(self._reachable.popleft())

    def _keep(self, line: Line) -> None:
        self._added += 1
        self.lines.append(line)

    def _enter(self, now: float | None) -> _Screen:
        """Draw what stands on the screen, and emulate from here on."""
        screen = self._screen = _Screen(self._keep)
        self._stream = pyte.Stream(screen)
        screen.stand(self._reachable)
        self._reachable.clear()
        screen.now = now
        if self._open:
            screen.draw(visible(self._open))
            self._open = ""
        self._quiet = 0
        return screen

    def _leave(self) -> None:
        if self._screen is not None:
            self._screen.flush()
            self._screen = None

    def _obey(self, screen: _Screen, text: str) -> None:
        try:
            self._stream.feed(text)
        except Exception:
            # The emulator trips over some senseless sequences; what came is shown, and it starts afresh.
            self._leave()
            fresh = self._enter(screen.now)
            fresh.draw(visible(text.rstrip("\r\n")))
            fresh.carriage_return()
            fresh.linefeed()


class _Screen(pyte.Screen):
    """A screen whose lines are handed to `keep` when they scroll off its top, or are wiped."""

    def __init__(self, keep: Callable[[Line], None]) -> None:
        self._keep = keep
        self.now: float | None = None
        # By the identity of a line of the buffer: when it was drawn on last, and what it was given as. The line itself
        # is with them, lest another gets its identity.
        self._times: dict[int, tuple[object, float | None]] = {}
        self._given: dict[int, tuple[object, dict[int, Char], Line]] = {}
        self._ready = False
        super().__init__(COLUMNS, ROWS)
        self.set_mode(pyte.modes.LNM)
        self._ready = True

    @property
    def at_rest(self) -> bool:
        """Whether the terminal is in its usual state: the next line will look plain."""
        return self.cursor.x == 0 and self.margins is None and self.cursor.attrs == self.default_char

    def flush(self) -> None:
        """Hand over all that stands on the screen, up to its last line with anything on it."""
        shown = [self._line(number) for number in range(self.lines)]
        while shown and not shown[-1].text:
            shown.pop()
        for line in shown:
            self._keep(line)
        self._times.clear()
        self._given.clear()

    def stand(self, lines: Iterable[Line]) -> None:
        """Put plain lines on an empty screen, as if they had been drawn, and the cursor below them."""
        for number, line in enumerate(lines):
            row = self.buffer[number]
            # A line of nothing but spaces is an empty one of the screen.
            row.update(enumerate(map(_PLAIN_CHARS.__getitem__, line.text[:COLUMNS].rstrip(" "))))
            self._given[id(row)] = (row, dict(row), line)
            self.cursor.y = number + 1

    def draw(self, data: str) -> None:
        super().draw(visible(data))
        row = self.buffer[self.cursor.y]
        self._times[id(row)] = (row, self.now)

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom and top == 0:
            self._keep(self._line(0))
            self._times.pop(id(self.buffer[0]), None)
            self._given.pop(id(self.buffer[0]), None)
        super().index()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        # Programs clear by one sequence, or by going to the corner and erasing what follows.
        if self._ready and (how in (2, 3) or (how == 0 and self.cursor.x == self.cursor.y == 0)):
            self.flush()
        super().erase_in_display(how, *args, **kwargs)

    def reset(self) -> None:
        if self._ready:
            self.flush()
        super().reset()
        self.set_mode(pyte.modes.LNM)

    def write_process_input(self, data: str) -> None:
        """Answer nothing: nobody is there."""

    def _line(self, number: int) -> Line:
        row = self.buffer.get(number)
        if not row:
            return Line("", self.now)
        given = self._given.get(id(row))
        if given is not None and given[1] == row:
            return given[2]
        last = max((x for x, char in row.items() if _shows(char)), default=-1)
        _, time = self._times.get(id(row), (row, self.now))
        spans: list[Span] = []
        text, look = "", ""
        for x in range(min(last + 1, self.columns)):
            char = row[x]
            new = "" if char[1:] == _PLAIN_LOOK else _look(char)
            if new != look and text:
                spans.append(Span(text, look))
                text = ""
            look = new
            text += char.data
        if text:
            spans.append(Span(text, look))
        looks = tuple(spans) if any(span.look for span in spans) else ()
        return Line("".join(span.text for span in spans), time, looks)


class _PlainChars(dict[str, Char]):
    """Characters of the usual look, each made once."""

    def __missing__(self, data: str) -> Char:
        return self.setdefault(data, Char(data))


_PLAIN_CHARS = _PlainChars()


def _shows(char: Char) -> bool:
    return bool(char.data.strip()) or char.reverse or char.bg not in _GROUNDS


def _look(char: Char) -> str:
    if char.fg == "default" and char.bg == "default" and not (char.bold or char.reverse or char.underscore):
        return ""
    words = []
    bright = char.fg.startswith("bright")
    if colour := _COLOURS.get(char.fg.removeprefix("bright")):
        words.append(colour)
    if char.bg not in _GROUNDS or char.reverse:
        words.append("reverse")
    if char.bold or bright:
        words.append("bold")
    if char.underscore:
        words.append("underline")
    return " ".join(words)
