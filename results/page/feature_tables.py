"""The long tables of a feature's page, row by row, as HTML; everything in them is escaped by `html`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from results.page.html import EMPTY, Html, each, fill
from results.page.model import Entry
from results.page.plots import Chart, Series
from results.page.tables import cut
from results.page.words import href, moment, status, took, verdict

# So much of a message stands in a table, in characters.
SAID_MOST = 300
_ENTRY = (
    '<tr><th scope="row"><a href="%s%s">%s</a></th><td>%s%s%s</td><td>%s</td><td>%s</td><td class="num">%s</td>'
    '<td class="says">%s</td></tr>\n'
)
_MARK = ' <em class="mark">%s</em>'
_WHOSE = " <i>%s</i>"
_SERIES = '<tr>%s<th scope="row"><a href="%s%s">%s</a></th>' + 5 * '<td class="num">%s</td>' + "</tr>\n"
_KEY = (
    '<td><svg class="key" viewBox="0 0 34 10" aria-hidden="true"><g class="series s%s">'
    '<line x1="0" x2="34" y1="5" y2="5"/><circle cx="17" cy="5" r="3.5"/></g></svg></td>'
)
_NO_KEY = Html("<td></td>")


def entry_rows(entries: Iterable[Entry], root: str) -> Html:
    """Return the rows of cells; `root` leads from the page to the folder."""
    return fill(_ENTRY, [_entry(entry, root) for entry in entries])


def _entry(entry: Entry, root: str) -> Sequence[object]:
    result = entry.result
    axes = (f"{name} {value}" for name, value in sorted(result.cell.axes.items()))
    return (
        root,
        href(entry.page),
        " ".join((result.cell.scenario, *axes)),
        status(result.status),
        fill(_MARK, [(mark,) for mark in entry.marks]),
        fill(_WHOSE, [(entry.stored.triage,)] if entry.stored.triage else []),
        verdict(result.verdict),
        moment(result.started),
        took(result.elapsed),
        cut(result.message, SAID_MOST),
    )


def series_rows(chart: Chart, root: str) -> Html:
    """Return the rows of a chart's numbers, one for each cell; those that are drawn have the key of their line."""
    if chart.has_history:
        keys = each(_KEY, [(number + 1,) for number in range(min(chart.drawn, len(chart.series)))])
        keys += [_NO_KEY] * (len(chart.series) - len(keys))
    else:
        keys = [EMPTY] * len(chart.series)
    return fill(_SERIES, [_series(key, series, root) for key, series in zip(keys, chart.series, strict=True)])


def _series(key: Html, series: Series, root: str) -> Sequence[object]:
    numbers = (series.newest, series.median, min(series.values), max(series.values))
    return (key, root, href(series.page), series.name, *[f"{number:.4g}" for number in numbers], len(series.values))
