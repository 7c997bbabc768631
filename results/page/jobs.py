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

# The last line of a page: what it was made from, and what other pages need of it. Only ">" could end it early.
_MADE = "\n<!-- testbed {} -->\n"
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

    What is written to the evidence after it was gathered makes another fingerprint the next time. Raises OSError when
    the result directory is gone.
    """
    past = [(one.page, one.status, one.verdict, one.changed, one.page in job.pages) for one in job.entry.past]
    told = (job.title, job.is_newest, job.stored.stale, job.stored.faults, job.stored.seal, past)
    whose = (job.stored.triage, job.stored.judged_by, job.stored.reference)
    content = f"{_program()}\0{job.stored.stamp or stamp(job.stored.directory)[0]}\0{told!r}{whose!r}"
    return blake2b(content.encode(errors="backslashreplace"), digest_size=16).hexdigest()


def remembered(key: str, measured: Sequence[Measurement], notes: Sequence[str]) -> str:
    """Return the last line of a page."""
    told = json.dumps({"key": key, "measured": measured, "notes": notes})
    return _MADE.format(told.replace(">", "\\u003e"))


def recall(folder: Path, key: str) -> tuple[tuple[Measurement, ...], tuple[str, ...]] | None:
    """Return what is remembered by a page that was made from the same; None if it was not, or is not there."""
    begin, end = _MADE.split("{}")
    try:
        last = (folder / "index.html").read_bytes().rpartition(begin.encode())[2]
        data = json.loads(last.removesuffix(end.encode()))
        if data["key"] != key:
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
