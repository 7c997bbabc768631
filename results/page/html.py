"""Pieces of HTML that are written by the thousand, which a template takes too long for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

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


def escape_all(texts: Sequence[str]) -> list[str]:
    """Return texts, escaped for HTML. Raises ValueError if there is a newline within one: `visible` leaves none.

    All are escaped at once, for speed, and only then taken apart.
    """
    found = str(escape("\n".join(texts))).split("\n") if texts else []
    if len(found) != len(texts):
        raise ValueError("a text of several lines cannot be escaped with others")
    return found


def each(shape: str, rows: Iterable[Sequence[object]]) -> list[Html]:
    """Return `shape` for each row, whose values stand where it has `%s`: spelled out and escaped, without exception.

    Only a value that is Html already stays as it is. Raises TypeError for a row that does not fit.
    """
    known = list(rows)
    values = list(chain.from_iterable(known))
    safe = iter(escape_all(_spelled([str(value) for value in values if type(value) is not Html])))
    filled = iter([value if type(value) is Html else next(safe) for value in values])
    return [Html(shape % tuple(islice(filled, len(row)))) for row in known]


def _spelled(texts: list[str]) -> list[str]:
    whole = "".join(texts)
    return texts if whole.isascii() and whole.isprintable() else [visible(text) for text in texts]


def fill(shape: str, rows: Iterable[Sequence[object]]) -> Html:
    """Return what `each` does as one piece."""
    return Html("".join(each(shape, rows)))
