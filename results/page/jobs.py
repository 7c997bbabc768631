"""Which execution to make a page of, and whether its page is there already, made from the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from results.page.model import Entry
from results.page.plots import Measurement
from results.seal import stamp
from results.stored import Stored

# Beside a page: what it was made from, and what other pages need of it.
MADE = ".made.json"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """One execution to make a page of. `entry` is the cell it belongs to, whose newest it may be."""

    entry: Entry
    stored: Stored
    title: str
    pages: frozenset[str]

    @property
    def is_newest(self) -> bool:
        """Whether it stands for its cell."""
        return self.stored.directory == self.entry.stored.directory


def made_from(job: Job) -> str:
    """Return a fingerprint of all that decides how a page comes out: evidence, history, doubts, and this program.

    Raises OSError when the result directory is gone.
    """
    past = [(one.page, one.status, one.verdict, one.changed, one.page in job.pages) for one in job.entry.past]
    told = (job.title, job.is_newest, job.stored.stale, job.stored.faults, job.stored.seal, past)
    whose = (job.stored.triage, job.stored.judged_by, job.stored.reference)
    content = f"{_program()}\0{stamp(job.stored.directory)[0]}\0{told!r}{whose!r}"
    return blake2b(content.encode(errors="backslashreplace"), digest_size=16).hexdigest()


def remembered(key: str, measured: Sequence[Measurement], notes: Sequence[str]) -> str:
    """Return the content of MADE."""
    return json.dumps({"key": key, "measured": measured, "notes": notes})


def recall(folder: Path, key: str) -> tuple[tuple[Measurement, ...], tuple[str, ...]] | None:
    """Return what is remembered of a page that was made from the same; None if it was not, or is not there."""
    try:
        data = json.loads((folder / MADE).read_bytes())
        if data["key"] != key or not (folder / "index.html").exists():
            return None
        return tuple((run, page, times) for run, page, times in data["measured"]), tuple(data["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is made anew


@cache
def _program() -> str:
    """Return a fingerprint of what pages are made by: modules, templates, style."""
    found = blake2b(digest_size=16)
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
