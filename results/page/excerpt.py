"""Files of any size, of which a bounded part is read: the beginning and the end."""

from __future__ import annotations

import os
from dataclasses import dataclass

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
    with open(path, "rb") as stream:  # noqa: PTH123  (speed)
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
