"""What a result directory holds, and its copy into the page's folder: of bounded size, and harmless to open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from results.page.excerpt import Excerpt, read_excerpt

# Of each file at most so much is copied; if it is larger, its beginning and its end.
COPIED_MOST = 4 << 20
PNG = b"\x89PNG\r\n\x1a\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# Folders of a result directory with evidence; "" is the directory itself.
_FOLDERS = ("", "console", "qmp", "screens")
_TEXT = (".log", ".txt", ".jsonl", ".json", ".cmdline", ".sha256", ".xml", ".dts", ".dtb.txt")
_ABOUT = {
    "result.json": "the result",
    "journal.jsonl": "steps, facts and notes as they came",
    "run-spec.json": "everything the worker was told",
    "alarm.txt": "the alarm and the lines around it",
    "autopsy.txt": "registers and state of the machine at the end",
    "traceback.txt": "where the test bed itself failed",
    "qemu.log": "what QEMU printed",
    "qemu.cmdline": "how QEMU was started",
}


@dataclass(frozen=True)
class Copied:
    """A file of the evidence: its `name` in the result directory and in the folder, `size` in bytes.

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


def files_of(directory: Path) -> Iterator[Path]:
    """Yield the files of a result directory that are evidence, in a steady order. Links are never followed."""
    for name in _FOLDERS:
        folder = directory / name
        if folder.is_symlink() or not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            known = path.suffix in _TEXT or (name == "screens" and path.suffix == ".png")
            if known and _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file():
                yield path


def copy_evidence(directory: Path, target: Path) -> list[Copied]:
    """Copy the evidence of a result directory below `target` and return what there is.

    Text gets `.txt` at its end: whatever serves or opens it must never take it for a page. Raises OSError.
    """
    found: list[Copied] = []
    for path in files_of(directory):
        name = path.relative_to(directory).as_posix()
        excerpt = read_excerpt(path, COPIED_MOST)
        if path.suffix == ".png":
            # A picture that is cut is none.
            if excerpt.left_out or not excerpt.head.startswith(PNG):
                continue
            place = name
        else:
            place = f"{name}.txt"
        _write(target / place, excerpt)
        note = f"its first {_size(len(excerpt.head))} and last {_size(len(excerpt.tail))}" if excerpt.left_out else ""
        found.append(Copied(name, place, excerpt.size, _ABOUT.get(path.name, _about(name)), note))
    return found


def _write(path: Path, excerpt: Excerpt) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(excerpt.joined())


def _about(name: str) -> str:
    if name.endswith(".timeline.jsonl"):
        return "when each line came"
    return {"console": "every byte of the console", "qmp": "all that was said to QEMU", "screens": "screenshot"}.get(
        name.partition("/")[0], ""
    )


def _size(number: int) -> str:
    return f"{number >> 10} KiB"
