"""Pieces of HTML that are written by the thousand, which a template takes too long for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import escape

from results.page.terminal import visible


class Html(str):
    """HTML as it stands in a page, which templates do not escape again.

    Whatever is made of it by joining or cutting is a plain string, hence escaped: only the functions below and
    those who escaped every part themselves may make one.
    """

    __slots__ = ()

    def __html__(self) -> str:
        """Return itself, as jinja2 asks for it."""
        return self


EMPTY = Html()


def each(shape: str, rows: Iterable[Sequence[object]]) -> list[Html]:
    """Return `shape` for each row, whose values stand where it has `%s`: spelled out and escaped, without exception.

    Only a value that is Html already stays as it is. Raises TypeError for a row that does not fit.
    """
    known = list(rows)
    values = [value for row in known for value in row]
    # All are escaped at once, for speed, and only then taken apart: `visible` leaves no newline within one.
    plain = "\n".join([visible(str(value)) for value in values if type(value) is not Html])
    safe = iter(str(escape(plain)).split("\n"))
    filled = iter([value if type(value) is Html else next(safe) for value in values])
    return [Html(shape % tuple([next(filled) for _ in row])) for row in known]


def fill(shape: str, rows: Iterable[Sequence[object]]) -> Html:
    """Return what `each` does as one piece."""
    return Html("".join(each(shape, rows)))
