"""Badges: small SVG pictures of a status, for other people's pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from results.model import Status
from results.page.grid import Place
from results.page.words import kind

# Widths of 11 px Verdana (or what stands in for it), in pixels: the text is stretched to what is computed.
_NARROW, _WIDE, _USUAL, _PAD = 4.2, 9.3, 6.7, 7


@dataclass(frozen=True)
class Badge:
    """What a badge says, and how wide its halves are in pixels."""

    label: str
    text: str
    kind: str

    @property
    def label_width(self) -> float:
        """Width of the left half."""
        return width(self.label) + 2 * _PAD

    @property
    def text_width(self) -> float:
        """Width of the right half, with room for the shape."""
        return width(self.text) + 2 * _PAD + 13


def width(text: str) -> float:
    """Return about how wide a text is, in pixels."""
    return round(
        sum(_NARROW if char in "fijlrt.,:;'|!()[]/ -1I" else _WIDE if char in "mwMW@" else _USUAL for char in text), 1
    )


def place_badge(title: str, place: Place) -> Badge:
    """Return the badge of a feature in one column."""
    return Badge(title, f"{', '.join([place.status, *place.marks])} (simulated)", kind(place.status))


def row_badge(title: str, places: Iterable[Place]) -> Badge:
    """Return the badge of a feature: its status if it is the same in all columns, else in how many it is its best."""
    counted = [place.status for place in places if place.status is not Status.NA]
    if not counted:
        return Badge(title, "n/a (simulated)", kind(Status.NA))
    best = next(status for status in (Status.YES, Status.CLOSE, Status.NO, Status.UNTESTED) if status in counted)
    if set(counted) == {best}:
        return Badge(title, f"{best} (simulated)", kind(best))
    # A `yes` that is not one everywhere must not be as green as one that is.
    shown = Status.CLOSE if best is Status.YES else best
    return Badge(title, f"{best} in {counted.count(best)} of {len(counted)} (simulated)", kind(shown))
