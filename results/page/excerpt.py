"""Files of any size, of which a bounded part is read: the beginning and the end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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

    def joined(self) -> bytes:
        """Return what was read; a line says where something is missing."""
        if not self.left_out:
            return self.head + self.tail
        return self.head + f"\n[... {self.left_out} of {self.size} bytes are left out here ...]\n".encode() + self.tail


def read_excerpt(path: Path, limit: int, head: int = HEAD) -> Excerpt:
    """Read a file, or if it is larger than `limit` bytes its first `head` and last `limit - head`, in whole lines.

    Raises OSError.
    """
    with path.open("rb") as stream:
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
