"""Files of any size, of which a bounded part is read: the beginning and the end."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import from_json

HEAD = 256 << 10


@dataclass(frozen=True)
class Excerpt:
    """A file's beginning and end; between them `left_out` bytes are missing. `tail` is empty if nothing is."""

    size: int
    head: bytes
    tail: bytes = b""

    @property
    def left_out(self) -> int:
        """How many bytes are missing."""
        return self.size - len(self.head) - len(self.tail)

    @property
    def tail_offset(self) -> int:
        """Where in the file the tail begins."""
        return self.size - len(self.tail)

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects of its lines; a line that is none is passed over, as a torn last one must be."""
        lines = [line for line in (self.head + b"\n" + self.tail).split(b"\n") if line.startswith(b"{")]
        try:
            # All at once is quicker by far, and the rule.
            found = from_json(b"[%b]" % b",".join(lines))
        except ValueError:
            found = [_read_line(line.decode("utf-8", "replace")) for line in lines]
        return [entry for entry in found if isinstance(entry, dict)]

    def joined(self) -> bytes:
        """Return what was read; a line says where something is missing."""
        if not self.left_out:
            return self.head + self.tail
        return self.head + f"\n[... {self.left_out} of {self.size} bytes are left out here ...]\n".encode() + self.tail

    def cut(self, limit: int, head: int = HEAD) -> Excerpt:
        """Return at most `limit` bytes of it: the first `head`, and the last `limit - head`, in whole lines."""
        if len(self.head) + len(self.tail) <= limit:
            return self
        begin = self.head[:head]
        end = (self.tail or self.head)[-(limit - head) :]
        return Excerpt(self.size, begin[: begin.rfind(b"\n") + 1] or begin, end[end.find(b"\n") + 1 :] or end)


def read_excerpt(path: str, limit: int, head: int = HEAD) -> Excerpt:
    """Read a file, or if it is larger than `limit` bytes its first `head` and last `limit - head`, in whole lines.

    Raises OSError.
    """
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  (speed)
        size = os.fstat(stream.fileno()).st_size
        if size <= limit:
            # A log that still grows is read as far as it was.
            data = stream.read(size)
            return Excerpt(len(data), data)
        begin = stream.read(head)
        begin = begin[: begin.rfind(b"\n") + 1] or begin
        stream.seek(size - (limit - head))
        end = stream.read(limit - head)
        end = end[end.find(b"\n") + 1 :] or end
    return Excerpt(size, begin, end)


def _read_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
