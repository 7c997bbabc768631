"""The long tables of an execution's page, row by row, as HTML; everything in them is escaped by `html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from results.model import Scalar, Section, StepPlan, StepResult
from results.page.consoles import Console
from results.page.evidence import Copied
from results.page.html import EMPTY, Html, each, fill
from results.page.jobs import Job
from results.page.model import Past
from results.page.terminal import visible
from results.page.words import href, moment, size, status, took, verdict

# So much of a message stands in a table, in characters.
SAID_MOST = 600
# So much more is shown rather than cut: three of it would be dots (the same as jinja2's `truncate`).
LEEWAY = 5
DIGEST_SHOWN = 16
_SECTIONS: tuple[Section, ...] = ("prepare", "feature")
_STEP = '<tr id="step-%s"><td class="num">%s</td><th scope="row">%s</th>%s</tr>\n'
_CAME = '<td>%s</td><td class="num">%s</td><td class="num">%s</td><td class="places">%s</td><td class="says">%s</td>'
_NOT_RUN = Html('<td><span class="st untested">did not run</span></td><td></td><td></td><td></td><td></td>')
_PLACE = '<a href="console/%s.html#L%s">%s:%s</a> '
_CONSOLE = (
    '<tr><th scope="row"><a href="%s">%s</a></th><td class="num">%s</td><td class="num">%s</td>'
    '<td><a href="%s">raw log of %s</a></td></tr>\n'
)
_PAST = (
    '<tr%s><td>%s</td><td>%s</td><td>%s</td><td class="num">%s</td><td class="says">%s</td>'
    '<th scope="row">%s</th></tr>\n'
)
_CURRENT = Html(' aria-current="true"')
_INPUT = '<tr><th scope="row">%s</th><td><code>%s</code></td><td>%s</td></tr>\n'
_FACT = '<tr><th scope="row">%s</th><td><code>%s</code></td></tr>\n'
_FILE = '<tr><th scope="row"><a href="%s">%s</a></th><td class="num">%s</td><td>%s%s</td><td>%s</td></tr>\n'
_CUT = ' <em class="mark">cut</em> the copy has %s'
_DIGEST = '<code title="%s">%s…</code>'


class StepView(NamedTuple):
    """A step as its table shows it. `began` in seconds from the cell's beginning; without `result` it did not run."""

    number: int
    plan: StepPlan
    result: StepResult | None = None
    began: float | None = None
    places: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.plan.title or self.plan.verb


def step_rows(steps: Sequence[StepView]) -> list[tuple[Section, Html]]:
    """Return the sections of a cell that have steps, and their rows."""
    came = iter(each(_CAME, [_came(step, step.result) for step in steps if step.result is not None]))
    rows = [(step, _NOT_RUN if step.result is None else next(came)) for step in steps]
    parts = []
    for section in _SECTIONS:
        of_part = [(step.number, step.number, step.name, told) for step, told in rows if step.plan.section == section]
        if of_part:
            parts.append((section, fill(_STEP, of_part)))
    return parts


def _came(step: StepView, result: StepResult) -> Sequence[object]:
    return (
        verdict(result.verdict),
        "" if step.began is None else f"{step.began:.2f} s",
        took(result.elapsed),
        fill(_PLACE, [(href(name), line, name, line) for name, line in step.places]) if step.places else EMPTY,
        cut(result.message, SAID_MOST),
    )


def console_rows(consoles: Iterable[Console]) -> Html:
    """Return the rows of consoles."""
    return fill(
        _CONSOLE, [(href(one.page), one.name, one.count, size(one.size), href(one.raw), one.name) for one in consoles]
    )


def past_rows(job: Job, root: str) -> Html:
    """Return the rows of a cell's executions, newest first; `root` leads from the page to the folder."""
    return fill(_PAST, [_past(job, past, root) for past in job.entry.past])


def _past(job: Job, past: Past, root: str) -> Sequence[object]:
    return (
        _CURRENT if past.stored.directory == job.stored.directory else EMPTY,
        moment(past.started),
        status(past.status),
        verdict(past.verdict),
        took(past.stored.result.elapsed),
        "; ".join(past.changed),
        past_link(job, past, root),
    )


def past_link(job: Job, past: Past, root: str) -> str:
    """Return a link to an execution, only its run if it has no page or is the one that the page is of."""
    if past.page not in job.pages or past.stored.directory == job.stored.directory:
        return past.run
    return fill('<a href="%s%s">%s</a>', [(root, href(past.page), past.run)])


def input_rows(inputs: Mapping[str, str], called: Mapping[str, str]) -> Html:
    """Return the rows of what a cell was made from: name, value, and for an image what it is called."""
    return fill(_INPUT, [(name, value, called.get(name, "")) for name, value in sorted(inputs.items())])


def fact_rows(facts: Mapping[str, Scalar]) -> Html:
    """Return the rows of a cell's facts by their names, in which capitals count as small letters."""
    names = sorted(facts, key=str.lower)
    return fill(_FACT, [(name, facts[name]) for name in names])


def file_rows(files: Iterable[Copied], digests: Mapping[str, str]) -> Html:
    """Return the rows of files; `digests` are those of their seal."""
    known = list(files)
    sums = [digests.get(file.name, "") for file in known]
    shown = each(_DIGEST, [(digest, digest[:DIGEST_SHOWN]) for digest in sums])
    return fill(
        _FILE,
        [
            (
                href(file.path),
                file.name,
                size(file.size),
                file.about,
                fill(_CUT, [(file.note,)]) if file.note else EMPTY,
                told if digest else EMPTY,
            )
            for file, digest, told in zip(known, sums, shown, strict=True)
        ],
    )


def line_rows(lines: Iterable[str]) -> Html:
    """Return lines of output."""
    return fill("<code>%s</code>\n", [(line,) for line in lines])


def cut(text: str, most: int) -> str:
    """Return a text of about `most` characters at most (LEEWAY), spelled out, with dots if something is missing."""
    shown = visible(text)
    return shown if len(shown) <= most + LEEWAY else f"{shown[: most - 3]}..."
