"""What a result directory holds: read once, in bounded parts, and copied so that it is harmless to open."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from results.page.excerpt import Excerpt, read_excerpt
from results.page.files import write_over

# Of each file at most so much is read and copied; if it is larger, its beginning and its end.
READ_MOST = 4 << 20
PNG = b"\x89PNG\r\n\x1a\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# Folders of a result directory with evidence; "" is the directory itself.
_FOLDERS = ("", "console", "qmp", "gdb", "screens")
_TEXT = (".log", ".txt", ".jsonl", ".json", ".cmdline", ".mi")
# Read for the times of lines, which the consoles' pages tell; not copied.
TIMELINE = ".timeline.jsonl"
_ABOUT = {
    "result.json": "the result, and the seal of all files",
    "journal.jsonl": "steps, facts and notes as they came",
    "run-spec.json": "everything the worker was told",
    "alarm.txt": "the alarm and the lines around it",
    "autopsy.txt": "registers and state of the machine at the end",
    "traceback.txt": "where the test bed itself failed",
    "qemu.log": "what QEMU printed",
    "qemu.cmdline": "how QEMU was started",
}
_KINDS = {
    "console": "every byte of the console",
    "qmp": "all that was said to QEMU",
    "gdb": "all that was said to gdb",
    "screens": "screenshot",
}


class Copied(NamedTuple):
    """A file of the evidence: its `name` in the result directory and `path` beside the page, `size` in bytes.

    `note` says what is missing in the copy, `about` what it is.
    """

    name: str
    path: str
    size: int
    about: str = ""
    note: str = ""

    @property
    def is_picture(self) -> bool:
        """Whether it is a screenshot."""
        return self.path.endswith(".png")


class Evidence:
    """The files of one result directory, by their names in it. Links are never followed."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self.names = tuple(_names(self._directory))
        self._known = frozenset(self.names)
        self._read: dict[str, Excerpt] = {}

    def read(self, name: str) -> Excerpt | None:
        """Return a file, or of a large one the beginning and the end; None if there is none. Raises OSError."""
        if name not in self._known:
            return None
        if name not in self._read:
            self._read[name] = read_excerpt(f"{self._directory}/{name}", READ_MOST)
        return self._read[name]

    def copy(self, place: Callable[[str], str]) -> list[Copied]:
        """Copy all to where `place` says, and return what there is. Raises OSError.

        Text gets `.txt` at its end: whatever serves or opens it must never take it for a page.
        """
        found = []
        for name in self.names:
            excerpt = self.read(name)
            if excerpt is None or name.endswith(TIMELINE):
                continue
            path = name if name.endswith(".png") else f"{name}.txt"
            # A picture that is cut is none.
            if path == name and (excerpt.left_out or not excerpt.head.startswith(PNG)):
                continue
            write_over(place(path), excerpt.joined())
            note = f"its first {len(excerpt.head) >> 10} and last {len(excerpt.tail) >> 10} KiB"
            about = _ABOUT.get(name) or _KINDS.get(name.partition("/")[0], "")
            found.append(Copied(name, path, excerpt.size, about, note if excerpt.left_out else ""))
        return found


def _names(directory: str) -> Iterator[str]:
    for folder in _FOLDERS:
        try:
            with os.scandir(f"{directory}/{folder}") as entries:
                found = sorted((entry for entry in entries), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if folder and os.path.islink(f"{directory}/{folder}"):  # noqa: PTH114  (speed)
            continue
        for entry in found:
            known = entry.name.endswith(_TEXT) or (folder == "screens" and entry.name.endswith(".png"))
            if known and _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                yield f"{folder}/{entry.name}" if folder else entry.name
