"""The output of gdb's machine interface, read (GDB manual, chapter "The GDB/MI Interface", output syntax)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_HEAD = re.compile(r'(\d*)([\^*+=])([\w-]+)|([~@&])(?=")')
_NAME = re.compile(r"([\w-]+)=")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


class NotMi(ValueError):
    """A record that does not follow the syntax."""


@dataclass(frozen=True)
class Record:
    """One line. `kind` is its mark: `^` result, `*` the target's state, `=` news, `~` `@` `&` text for a person.

    `name` is the class of a result or of an asynchronous record (`done`, `stopped`), `text` what a person would read.
    A line without a mark is what some library printed: text of no kind.
    """

    kind: str = ""
    name: str = ""
    token: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    text: str = ""


def parse(line: str) -> Record | None:
    """Read a line; None for the prompt. Raises NotMi."""
    line = line.rstrip()
    if line in ("", "(gdb)"):
        return None
    head = _HEAD.match(line)
    if head is None:
        return Record(text=line)
    token, kind, name, stream = head.groups()
    reader = _Reader(line, head.end())
    if stream:
        text = reader.value()
        reader.finish()
        return Record(stream, text=text)
    values: dict[str, Any] = {}
    while reader.take(","):
        key, value = reader.result()
        values[key] = value
    reader.finish()
    return Record(kind, name, token, values)


class _Reader:
    def __init__(self, line: str, at: int) -> None:
        self._line = line
        self._at = at

    def take(self, mark: str) -> bool:
        found = self._line.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def finish(self) -> None:
        if self._at != len(self._line):
            raise NotMi(f"not understood from column {self._at + 1} on: {self._line[:200]}")

    def result(self) -> tuple[str, Any]:
        name = _NAME.match(self._line, self._at)
        if name is None:
            raise NotMi(f"no name at column {self._at + 1}: {self._line[:200]}")
        self._at = name.end()
        return name[1], self.value()

    def value(self) -> Any:
        if self.take("{"):
            return dict(self._until("}", self.result))
        if self.take("["):
            # A list of values, or of results that all have the same name.
            return self._until("]", self._item)
        text = _STRING.match(self._line, self._at)
        if text is None:
            raise NotMi(f"no value at column {self._at + 1}: {self._line[:200]}")
        self._at = text.end()
        return _ESCAPE.sub(_unescape, text[1])

    def _item(self) -> Any:
        return self.result()[1] if _NAME.match(self._line, self._at) else self.value()

    def _until(self, end: str, read: Any) -> list[Any]:
        found: list[Any] = []
        while not self.take(end):
            if found and not self.take(","):
                raise NotMi(f"no comma at column {self._at + 1}: {self._line[:200]}")
            found.append(read())
        return found


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code, 8)) if len(code) == 3 else _ESCAPES.get(code, code)
