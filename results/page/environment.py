"""What templates are rendered by, and what they may ask for. All values in them are escaped."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from results.model import Verdict
from results.page import feature_tables, picture, tables, words
from results.page.terminal import visible
from results.triage import ABOUT

HERE = Path(__file__).parent
# Nothing but the folder's own style, script and pictures; no form, no frame, no other place.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'"
)
REMARKS = {Verdict.XFAIL: "fails, as expected", Verdict.XPASS: "passes unexpectedly"}
_WORDS = (words.day, words.href, words.kind, words.moment, words.size, words.status, words.took, words.verdict)
_ROWS = (
    feature_tables.entry_rows,
    feature_tables.series_rows,
    tables.console_rows,
    tables.fact_rows,
    tables.file_rows,
    tables.input_rows,
    tables.line_rows,
    tables.step_rows,
)


@cache
def environment() -> Environment:
    """Return what renders templates; they are compiled once in a process."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "policy": POLICY,
        "verdict_words": REMARKS,
        "triage_words": {whose.value: about for whose, about in ABOUT.items()},
        "past_link": tables.past_link,
        "past_rows": tables.past_rows,
    }
    made.filters |= {one.__name__: one for one in (*_WORDS, *_ROWS)}
    made.filters |= {
        "svg_axis": picture.axis,
        "svg_bars": picture.bars,
        "svg_lanes": picture.lanes,
        "visible": lambda text: visible(str(text)),
        "web": lambda link: link if re.match(r"https?://", link) else "",
    }
    return made
