"""How statuses, verdicts, times, sizes and addresses are written on pages."""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from urllib.parse import quote

from results.model import Status, Verdict
from results.page.html import Html, fill

SHAPES = {
    Verdict.PASS: "yes",
    Verdict.FAIL: "no",
    Verdict.TIMEOUT: "no",
    Verdict.INFRA: "untested",
    Verdict.SKIP: "na",
    Verdict.XFAIL: "no",
    Verdict.XPASS: "yes",
}
_WORD = '<span class="st %s">%s</span>'


def kind(status: Status) -> str:
    """Return the CSS class of a status."""
    return "na" if status is Status.NA else status.value


@cache
def status(value: Status) -> Html:
    """Return the word of a status with its shape."""
    return fill(_WORD, [(kind(value), value)])


@cache
def verdict(value: Verdict) -> Html:
    """Return the word of a verdict with its shape."""
    return fill(_WORD, [(SHAPES[value], value)])


@lru_cache(maxsize=64)
def moment(when: datetime) -> Html:
    """Return a time to the minute, in UTC as it is given."""
    return fill('<time datetime="%s">%s UTC</time>', [(when.isoformat(), when.isoformat(" ", "minutes")[:16])])


def day(when: datetime) -> str:
    """Return the day of a time: `2026-10-31`."""
    return when.date().isoformat()


def href(path: str) -> str:
    """Return the address of a path."""
    return quote(path, safe="/#._-")


def size(number: float) -> str:
    """Return a size in bytes for people: `12.4 KiB`."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def took(seconds: float) -> str:
    """Return a time in seconds for people: `0.42 s`, `3.1 s`, `2 min 05 s`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
