"""A timeline's shapes as SVG; everything in them is escaped by `html`."""

from __future__ import annotations

from results.page.html import EMPTY, Html, each, fill
from results.page.timeline import Bar, Lane, Picture

# A bar that is narrower has no number on it.
NUMBERED_LEAST = 18
NAME_MOST = 18
_TICK = (
    '<line class="grid" x1="%s" x2="%s" y1="18" y2="%s"/>'
    '<text class="tick" x="%s" y="12" text-anchor="middle">%s</text>\n'
)
_BAR = (
    '<a href="#step-%s" tabindex="-1"><rect class="bar %s" x="%s" y="%s" width="%s" height="%s">'
    "<title>%s</title></rect>%s</a>\n"
)
_NUMBER = '<text class="on" aria-hidden="true" x="%s" y="%s" text-anchor="middle">%s</text>'
_LANE = (
    '<text class="name" x="%s" y="%s" text-anchor="end">%s</text><line class="grid" x1="%s" x2="%s" y1="%s" y2="%s"/>\n'
    "%s%s%s"
)
_SAID = '<path class="said" d="%s"/>\n'
_SENT = '<path class="sent" d="%s"/>\n'
_EVENT = '<path class="event" d="M%s %sl5 6-5 6-5-6z"><title>%s</title></path>'


def axis(picture: Picture) -> Html:
    """Return the scale, whose last word has the unit."""
    last = len(picture.axis) - 1
    return fill(
        _TICK,
        [
            (x, x, picture.height, x, f"{text} s" if number == last else text)
            for number, (x, text) in enumerate(picture.axis)
        ],
    )


def bars(picture: Picture) -> Html:
    """Return the steps, which lead to their rows."""
    top, height = picture.first, picture.lane
    numbers = each(_NUMBER, [(bar.x + bar.width / 2, top + 15, bar.number) for bar in picture.bars])
    return fill(
        _BAR,
        [
            (bar.number, bar.verdict, bar.x, top, bar.width, height, bar.title, number if _has_room(bar) else EMPTY)
            for bar, number in zip(picture.bars, numbers, strict=True)
        ],
    )


def _has_room(bar: Bar) -> bool:
    return bar.width > NUMBERED_LEAST


def lanes(picture: Picture) -> Html:
    """Return the consoles and transcripts."""
    return fill(_LANE, [_lane(picture, lane) for lane in picture.lanes])


def _lane(picture: Picture, lane: Lane) -> tuple[object, ...]:
    name = lane.name if len(lane.name) <= NAME_MOST else f"{lane.name[: NAME_MOST - 1]}…"
    bottom = lane.y + picture.lane - 2
    return (
        picture.left - 10,
        lane.y + 15,
        name,
        picture.left,
        picture.width,
        bottom,
        bottom,
        fill(_SAID, [(lane.said,)]) if lane.said else EMPTY,
        fill(_SENT, [(lane.sent,)]) if lane.sent else EMPTY,
        fill(_EVENT, [(tick.x, lane.y + 4, tick.title) for tick in lane.events]) if lane.events else EMPTY,
    )
