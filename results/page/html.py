"""Pieces of HTML that are written by the thousand, which a template takes too long for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from results.page.terminal import visible

EMPTY = Markup()


def each(shape: str, rows: Iterable[Sequence[object]]) -> list[Markup]:
    """Return `shape` for each row, whose values stand where it has `%s`: spelled out and escaped, without exception.

    A value that is Markup already, which only this function and templates make, stays as it is. Raises TypeError for
    a row that does not fit.
    """
    known = list(rows)
    values = [value for row in known for value in row]
    # All are escaped at once, for speed, and only then taken apart: `visible` leaves no newline within one.
    plain = "\n".join([visible(str(value)) for value in values if not isinstance(value, Markup)])
    safe = iter(str(escape(plain)).split("\n"))
    filled = iter([str(value) if isinstance(value, Markup) else next(safe) for value in values])
    return [Markup(shape % tuple([next(filled) for _ in row])) for row in known]  # noqa: S704  (escaped above)


def fill(shape: str, rows: Iterable[Sequence[object]]) -> Markup:
    """Return what `each` does as one piece."""
    return EMPTY.join(each(shape, rows))
