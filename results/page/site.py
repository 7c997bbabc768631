"""Writes the whole folder: front page, features, cells with their evidence, badges, feeds."""

from __future__ import annotations

import gc
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from base.errors import InfraError, UsageError
from results.features import Feature
from results.model import Verdict
from results.page.badges import place_badge, row_badge
from results.page.cells import Made, make_cell
from results.page.feeds import changes, write_feeds
from results.page.grid import UNEXPECTED, Grid, build_grid
from results.page.jobs import Job
from results.page.model import Entry, Site
from results.page.plots import Measured, charts_of
from results.page.words import kind
from results.page.write import Held, Writer

STATIC = ("page.css", "page.js", "icon.svg")
# Older executions of a cell that get a page as well; what has one from before keeps it.
OLDER = 5
# Below this one process is quicker than several.
ALONE_MOST = 40
BATCH = 25
# Rendering makes much that is soon thrown away and hardly a cycle: looking for those at the usual pace costs a sixth.
GARBAGE = 50_000
MARK = ".testbed-page"


@dataclass(frozen=True)
class Written:
    """What was written: the front page, how many pages of executions, remarks."""

    front: Path
    executions: int
    notes: tuple[str, ...]


def write_site(site: Site, folder: Path, *, older: int = OLDER, workers: int | None = None) -> Written:
    """Write the page into `folder`, which is made, or was made by us before: pages of other runs there are kept.

    Raises UsageError if the folder holds something else, InfraError if it cannot be written.
    """
    _claim(folder)
    try:
        return _write(site, folder, older, workers or os.cpu_count() or 1)
    except OSError as error:
        raise InfraError(f"cannot write the page: {error}", where=str(folder), hint="is the disk full?") from error


def _claim(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="--out wants a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError(
            f"{folder} is not empty and was not made by `testbed page`", hint="name another folder, or empty this one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise InfraError(f"cannot write to {folder}: {error.strerror}", hint="name another folder") from error


def _write(site: Site, folder: Path, older: int, workers: int) -> Written:
    writer = Writer(folder, site.made)
    grid = build_grid(site)
    titles = {feature.name: feature.title for feature in site.features}
    jobs = list(_jobs(site, folder, titles, older))
    measured: dict[str, Measured] = {}
    notes: list[str] = []
    # What leads to other pages is rendered while these are made, and written after them.
    last = Held(folder, site.made)
    with _make(jobs, folder, site.made, workers) as making:
        _badges(grid, last)
        write_feeds(site, last, frozenset[str]().union(*(job.pages for job in jobs)))
        front_page(site, last, grid)
        for made in making:
            if made.measured:
                measured[made.cell_id] = made.measured
            notes += [f"{made.cell_id}: {note}" for note in made.notes]
    _features(site, grid, writer, measured)
    last.let_go()
    return Written(folder / "index.html", len(jobs), tuple(notes))


def _jobs(site: Site, folder: Path, titles: Mapping[str, str], older: int) -> Iterator[Job]:
    """Yield the executions to make pages of: the newest of each cell anew, older ones if they have none yet."""
    for entry in site.entries:
        # The entry's own last: only that has been judged for staleness.
        wanted = {past.page: past.stored for past in entry.past[: older + 1]} | {entry.page: entry.stored}
        there = {past.page for past in entry.past if past.page not in wanted and (folder / past.page).exists()}
        pages = frozenset(wanted) | there
        title = titles.get(entry.result.cell.feature, entry.result.cell.feature)
        for page, stored in wanted.items():
            if page == entry.page or not (folder / page).exists():
                yield Job(entry, stored, title, pages)


@contextmanager
def _make(jobs: Sequence[Job], folder: Path, made: datetime, workers: int) -> Iterator[Iterator[Made]]:
    """Begin to make the pages of jobs, and give what came of each, in their order."""
    if workers == 1 or len(jobs) <= ALONE_MOST:
        yield iter(_make_batch(jobs, folder, made))
        return
    # Spawned, not forked: whoever calls may have threads.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker) as pool:
        batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
        waiting = [pool.submit(_make_batch, batch, folder, made) for batch in batches]
        yield chain.from_iterable(future.result() for future in waiting)


def _begin_worker() -> None:
    # What is imported stays, so it need not be looked through.
    gc.freeze()
    gc.set_threshold(GARBAGE)


def _make_batch(jobs: Sequence[Job], folder: Path, made: datetime) -> list[Made]:
    writer = Writer(folder, made)
    return [_make_one(job, writer) for job in jobs]


def _make_one(job: Job, writer: Writer) -> Made:
    made = make_cell(job, writer)
    if job.is_newest:
        # After the page that it leads to, and even if that was there: another one may have been newer meanwhile.
        writer.page(f"cells/{made.cell_id}/index.html", "redirect.html", entry=job.entry)
    return made


def _features(site: Site, grid: Grid, writer: Writer, measured: Mapping[str, Measured]) -> None:
    by_feature: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in site.entries:
        by_feature[entry.result.cell.feature].append(entry)
    for feature in site.features:
        row = grid.row(feature)
        writer.page(
            f"features/{feature.name}.html",
            "feature.html",
            feature=feature,
            reference=site.reference,
            row=row,
            badge=row_badge(feature.title, (place for _, place in row)),
            charts=charts_of(by_feature[feature.name], measured),
        )


def _badges(grid: Grid, writer: Writer) -> None:
    all_badges = []
    for feature in grid.features:
        row = grid.row(feature)
        whole = row_badge(feature.title, (place for _, place in row))
        writer.text(f"badges/{feature.name}.svg", writer.render("badge.svg", badge=whole))
        places = [(column, place_badge(feature.title, place)) for column, place in row]
        drawn = {badge: writer.render("badge.svg", badge=badge) for badge in {badge for _, badge in places}}
        for column, badge in places:
            writer.text(f"badges/{feature.name}/{column.slug}.svg", drawn[badge])
        all_badges.append((feature, whole, places))
    writer.page("badges/index.html", "badges.html", badges=all_badges)


def front_page(site: Site, writer: Writer, grid: Grid | None = None) -> None:
    """Write the front page and what it looks like. Raises OSError."""
    writer.copy(STATIC)
    writer.page(
        "index.html",
        "index.html",
        site=site,
        grid=grid or build_grid(site),
        groups=_groups(site.features),
        tally=Counter(kind(entry.result.status) for entry in site.entries),
        newest=max((entry.result.started for entry in site.entries), default=site.made),
        surprises=_surprises(site.entries),
        changes=changes(site),
    )


def _groups(features: Sequence[Feature]) -> list[tuple[str, list[Feature]]]:
    """Return what all others begin with, XenPPC's rows, then ours."""
    theirs = [feature for feature in features if feature.reference is not None]
    first = features.index(theirs[0]) if theirs else 0
    begin, ours = list(features[:first]), [feature for feature in features[first:] if feature.reference is None]
    named = [
        ("What all others begin with", begin),
        ("The rows of XenPPC's own page", theirs),
        ("Rows that it did not have", ours),
    ]
    return [(name, rows) for name, rows in named if rows]


def _surprises(entries: Iterable[Entry]) -> list[Entry]:
    """Return what somebody must look at: the product's surprises first, then trouble of ours."""
    found = [entry for entry in entries if entry.result.verdict in UNEXPECTED]
    return sorted(found, key=lambda entry: entry.result.verdict is Verdict.INFRA)
