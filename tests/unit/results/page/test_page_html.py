"""Pieces of HTML: all that is put into them is escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from results.page.html import Html, each, escape_all, fill
from results.page.terminal import visible


@given(st.lists(st.tuples(st.text(), st.text())))
def test_every_value_is_spelled_out_and_escaped_in_its_own_place(rows: list[tuple[str, str]]) -> None:
    wanted = [f"<b>{escape(visible(one))}</b>{escape(visible(two))}" for one, two in rows]
    assert each("<b>%s</b>%s", rows) == wanted
    assert fill("<b>%s</b>%s", rows) == "".join(wanted)


def test_only_html_itself_stays_as_it_is() -> None:
    bold = Html("<b>")
    assert fill("%s %s %s", [(bold, "a\nb<", 5)]) == "<b> a\u240ab&lt; 5"
    # What is made of it is no longer known to be safe.
    assert fill("%s", [(bold + "<i>",)]) == "&lt;b&gt;&lt;i&gt;"
    assert fill("%s", [(bold[:2],)]) == "&lt;b"
    assert str(escape(bold)) == "<b>"


@pytest.mark.parametrize("row", [(), ("a",), ("a", "b", "c")])
def test_a_row_that_does_not_fit_is_an_error(row: tuple[str, ...]) -> None:
    with pytest.raises(TypeError):
        each("%s%s", [row])


def test_a_newline_cannot_move_what_follows_to_another_place() -> None:
    assert escape_all([]) == []
    assert escape_all(["", "<b>"]) == ["", "&lt;b&gt;"]
    with pytest.raises(ValueError, match="several lines"):
        escape_all(["a\nb", "c"])
