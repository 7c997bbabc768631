"""The whole folder: what it says, where it is, and that nothing in it is anybody else's markup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from results.conclude import not_run
from results.expectations import Expectation, Expectations
from results.journal import Journal
from results.matrix import build_matrix, to_json
from results.page.badges import row_badge
from results.page.cells import _measured
from results.page.environment import POLICY
from results.page.gather import gather
from results.page.grid import build_grid
from results.page.jobs import Job, recall, remembered
from results.page.model import Column
from results.page.plots import charts_of
from results.page.times import times_of
from results.page.words import took
from results.store import create_run, list_runs
from tests.unit.results.builders import cell, execute, result
from tests.unit.results.page.directories import rich, run_at, write

EVIL = "</title></code><script>alert(1)</script><img src=x onerror=alert(2)>\"'><style>*{}</style>\u202e\x1b[31m"


@dataclass
class Page(HTMLParser):
    """What matters of a page."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages(out: Path) -> Iterator[tuple[Path, Page]]:
    for path in out.rglob("*.html"):
        yield path, Page(path.read_text())


def test_rows_are_xenppcs_then_ours_and_columns_know_their_qemu() -> None:
    run = create_run([])
    execute(run, "|p", scenario="a", qemu="10.0.13")
    execute(run, "|f", scenario="a", qemu="11.0.1", axes={"qemu": "11.0.1"})
    execute(run, "|p", scenario="a", qemu="11.0.1", axes={"qemu": "own"})
    execute(run, "|p", scenario="b", feature="grub", platform="pseries-970", qemu="10.0.13")
    grid = build_grid(gather())
    assert [feature.name for feature in grid.features[:3]] == ["hypervisor-boot", "dom0-boot", "domu-boot"]
    assert grid.columns == (
        Column("g5", "kvm-pr", "stock", "10.0.13"),
        Column("g5", "kvm-pr", "stock", "11.0.1"),
        Column("g5", "kvm-pr", "stock", "11.0.1-own"),
        Column("pseries-970", "kvm-pr", "stock", "10.0.13"),
    )
    row = {column.slug: place.status for column, place in grid.row(grid.features[2])}
    assert row == {
        "g5.kvm-pr.stock.10.0.13": "yes",
        "g5.kvm-pr.stock.11.0.1": "no",
        "g5.kvm-pr.stock.11.0.1-own": "yes",
        "pseries-970.kvm-pr.stock.10.0.13": "untested",
    }


def test_a_cell_that_never_ran_stands_in_all_its_columns() -> None:
    run = create_run([])
    execute(run, "|p", scenario="a")
    left_out = cell(scenario="b", feature="grub", qemu="")
    with Journal(run.cell_directory(left_out)) as journal:
        journal.cell_start(run.id, left_out, [])
        journal.finish(not_run(run=run.id, cell=left_out, declared=0, reason="one CPU", applicable=False))
    grid = build_grid(gather())
    assert [column.qemu for column in grid.columns] == ["10.0.13"]
    grub = next(feature for feature in grid.features if feature.name == "grub")
    assert [place.status for _, place in grid.row(grub)] == ["n/a"]


def test_a_cell_that_broke_off_early_stands_with_those_of_the_qemu_that_was_asked_for() -> None:
    run = create_run([])
    execute(run, "|p", scenario="a", qemu="10.0.13")
    execute(run, "|p", scenario="a", qemu="11.1.3", axes={"qemu": "11.1"})
    for broken in (
        cell(scenario="b", qemu="", axes={"qemu": "11.1"}),
        cell(scenario="c", qemu="", axes={"qemu": "7.2"}),
    ):
        with Journal(run.cell_directory(broken)) as journal:
            journal.cell_start(run.id, broken, [])
            journal.finish(not_run(run=run.id, cell=broken, declared=0, reason="the host went away"))
    grid = build_grid(gather())
    domu = next(feature for feature in grid.features if feature.name == "domu-boot")
    told = {column.qemu: (place.status, place.remark) for column, place in grid.row(domu)}
    assert told == {"10.0.13": ("yes", ""), "11.1.3": ("yes", "1 of 2 ran"), "7.2": ("untested", "")}


def test_the_front_has_word_shape_date_and_simulated_for_each_status(tmp_path: Path) -> None:
    run = create_run([])
    for letters, scenario in (("|p", "a"), ("p|pf", "b")):
        execute(run, letters, scenario=scenario, feature={"a": "domu-boot", "b": "save-restore"}[scenario])
    site = write(tmp_path / "out")
    front = (tmp_path / "out/index.html").read_text()
    for entry in site.entries:
        link = f'<a href="runs/{run.id}/{entry.cell_id}/index.html">{entry.result.status}'
        place = front[front.index(link) :]
        assert "<small>2026-11-22 sim" in place[: place.index("</td>")]
        assert f'<td class="{entry.result.status}' in front
    assert "XenPPC 2007-2010" in front


def test_several_scenarios_of_a_row_open_their_list(tmp_path: Path) -> None:
    run = create_run([])
    execute(run, "|p", scenario="a")
    execute(run, "|f", scenario="b")
    write(tmp_path / "out")
    front = (tmp_path / "out/index.html").read_text()
    assert 'href="features/domu-boot.html#g5.kvm-pr.stock.10.0.13">close' in front
    feature = (tmp_path / "out/features/domu-boot.html").read_text()
    assert 'id="g5.kvm-pr.stock.10.0.13"' in feature
    assert feature.count(f'href="../runs/{run.id}/') >= 2


def test_every_link_and_anchor_resolves(tmp_path: Path) -> None:
    for hour, letters in enumerate(("pp|ppp", "pp|ppf")):
        run = run_at(hour)
        rich(run, letters, scenario="a", files={"alarm.txt": b"Oops\n", "autopsy.txt": b"r1\n"})
        rich(run, letters, scenario="b", feature="live-migration", facts={"migration.u1.downtime-ms": 30})
    out = tmp_path / "out"
    write(out)
    known = {path: {attributes.get("id") for _, attributes in page.tags} for path, page in pages(out)}
    assert len(known) > 20
    checked = 0
    for path, page in pages(out):
        for tag, name in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src")):
            for attributes in page.all(tag):
                address, _, anchor = str(attributes[name]).partition("#")
                target = (path.parent / address).resolve() if address else path
                assert target.is_file(), (path, attributes)
                assert out.resolve() in target.parents
                if anchor:
                    assert anchor in known.get(out / target.relative_to(out.resolve()), set()), (path, attributes)
                checked += 1
    assert checked > 300
    atom = ElementTree.parse(out / "changes.atom").findall("{*}entry/{*}link")
    assert len(atom) == 2
    assert all((out / str(link.get("href"))).is_file() for link in atom)


def test_a_change_links_to_the_result_that_changed_it(tmp_path: Path) -> None:
    runs = [run_at(hour) for hour in range(3)]
    for run, letters in zip(runs, ("|p", "|f", "|f"), strict=True):
        rich(run, "|p", scenario="a")
        rich(run, letters, scenario="b")
    write(tmp_path / "out")
    (link,) = ElementTree.parse(tmp_path / "out/changes.atom").findall("{*}entry/{*}link")
    assert link.get("href") == f"runs/{runs[1].id}/b.g5.kvm-pr.stock/index.html"


def test_nothing_on_a_page_is_anybody_elses_markup(tmp_path: Path) -> None:
    run = create_run([])
    entry = {"cell": {"scenario": "a"}, "expect": "fail", "why": EVIL, "link": "javascript:alert(3)"}
    expectations = Expectations((Expectation.model_validate({**entry, "expires": "2099-01-01"}),))
    rich(
        run,
        "p|f",
        scenario="a",
        message=EVIL,
        title=EVIL,
        consoles={"dom0": EVIL.encode() + b"\r\n\xff\xfe\x00 \x1b]0;owned\x07", "x": EVIL.encode()},
        files={"alarm.txt": EVIL.encode(), "evil.html": EVIL.encode(), "screens/a.png": EVIL.encode()},
        facts={"kernel": EVIL, EVIL: EVIL},
        expectations=expectations,
        spec={"append": EVIL, "kernel": {"name": EVIL}, "scenario": {"summary": EVIL}},
    )
    out = tmp_path / "out"
    write(out)
    assert not list(out.rglob("evil*"))
    for path, page in pages(out):
        assert page.all("meta")[1]["content"] == POLICY, path
        assert not page.all("style"), path
        assert not [tag for tag, attributes in page.tags if {"style", "onerror", "onload", "onclick"} & set(attributes)]
        assert all(script["src"] for script in page.all("script")), path
        assert "\u202e" not in page.text
        assert "\x1b" not in page.text
        for link in page.all("a"):
            assert not str(link["href"]).startswith("javascript"), path
    for path in out.rglob("*.svg"):
        ElementTree.parse(path)
    ElementTree.parse(out / "changes.atom")
    text = (out / gather().entries[0].page).read_text()
    assert "&lt;script&gt;alert(1)" in text
    assert "<code>javascript:alert(3)</code>" in text


def test_history_names_the_first_bad_change_and_what_differed(tmp_path: Path) -> None:
    runs = [run_at(hour).id for hour in range(4)]
    told = zip(list_runs(), (("|p", "6.1.1"), ("|f", "6.1.2"), ("|i", "6.1.2"), ("|f", "6.1.2")), strict=True)
    for run, (letters, release) in told:
        rich(run, letters, spec={"kernel-identity": {"release": release}})
    site = write(tmp_path / "out", older=0)
    (entry,) = site.entries
    bad = entry.first_bad
    assert bad is not None
    assert bad.before is not None
    assert (bad.before.run, bad.after.run, bad.changed) == (runs[0], runs[1], ("kernel.release: 6.1.1 -> 6.1.2",))
    text = (tmp_path / "out" / entry.page).read_text()
    assert "First bad change" in text
    assert "kernel.release: 6.1.1 -&gt; 6.1.2" in text
    feed = json.loads((tmp_path / "out/feed.json").read_text())
    assert feed["cells"][0]["first_bad"]["after"]["run"] == runs[1]
    (atom,) = ElementTree.parse(tmp_path / "out/changes.atom").findall("{http://www.w3.org/2005/Atom}entry")
    assert atom.findtext("{http://www.w3.org/2005/Atom}title") == f"{entry.cell_id}: yes to no"


def test_what_was_edited_or_is_old_says_so(tmp_path: Path) -> None:
    run = create_run([])
    edited = rich(run, "|p", scenario="a")
    (edited / "console/dom0.log").write_bytes(b"all is well\r\n")
    rich(run, "|p", scenario="b", feature="grub", started=datetime.now(UTC) - timedelta(days=40))
    write(tmp_path / "out")
    front = (tmp_path / "out/index.html").read_text()
    assert '<td class="untested u stale">' in front
    assert '<td class="yes stale">' in front
    assert "<em>edited</em>" in front
    assert "<em>stale</em>" in front
    a, b = (
        (tmp_path / "out" / entry.page).read_text() for entry in sorted(gather().entries, key=lambda one: one.cell_id)
    )
    assert "console/dom0.log: changed" in a
    assert "it said yes (pass)" in a
    assert "older than 30 days" in b


def test_the_feed_is_the_matrix_with_addresses_and_without_paths(tmp_path: Path) -> None:
    execute(create_run([]), "p|pf")
    site = write(tmp_path / "out")
    text = (tmp_path / "out/feed.json").read_text()
    feed, matrix = json.loads(text), to_json(build_matrix([entry.stored for entry in site.entries]))
    ours, theirs = feed["cells"][0], matrix["cells"][0]
    assert set(theirs) <= set(ours)
    assert ours["directory"] == ours["evidence"] == ours["page"].removesuffix("/index.html")
    assert {key: value for key, value in ours.items() if key in theirs and key not in ("directory", "evidence")} == {
        key: value for key, value in theirs.items() if key not in ("directory", "evidence")
    }
    assert (tmp_path / "out" / ours["page"]).is_file()
    assert (tmp_path / "out" / ours["newest"]).is_file()
    assert (tmp_path / "out" / ours["badge"]).is_file()
    assert str(tmp_path) not in text


def test_no_page_tells_where_this_machine_keeps_its_results(tmp_path: Path) -> None:
    rich(create_run([]))
    write(tmp_path / "out")
    for path, page in pages(tmp_path / "out"):
        assert str(tmp_path) not in page.text, path


def test_a_badge_of_a_row_tells_in_how_many_columns_it_is_yes(tmp_path: Path) -> None:
    run = create_run([])
    execute(run, "|p", kernel="fixed")
    execute(run, "|f", kernel="stock")
    grid = build_grid(write(tmp_path / "out"))
    row = [place for _, place in grid.row(grid.features[2])]
    assert row_badge("domU", row).text == "yes in 1 of 2 (simulated)"
    assert row_badge("domU", row[:1]).text == "yes (simulated)"
    no, untested = row[1], grid.row(grid.features[0])[0][1]
    assert (row_badge("domU", [no, untested]).text, row_badge("domU", [no, untested]).kind) == (
        "no in 1 of 2 (simulated)",
        "no",
    )
    assert row_badge("domU", []).text == "n/a (simulated)"
    badge = ElementTree.parse(tmp_path / "out/badges/domu-boot/g5.kvm-pr.stock.10.0.13.svg").getroot()
    assert badge.get("aria-label") == "domU boot with console: no (simulated)"


def test_times_are_of_what_passed() -> None:
    passed = result("pp|p", facts={"migration.u1.downtime-ms": 31, "migration.u1.total-ms": 900})
    assert times_of(passed) == {"whole cell, s": 3.5, "u1 stands still, ms": 31.0}
    assert times_of(result("pp|f")) == {}


def test_charts_show_times_over_runs(tmp_path: Path) -> None:
    for hour, elapsed in enumerate((20, 30, 25)):
        rich(run_at(hour), "pp|p", feature="live-migration", facts={"migration.u1.downtime-ms": elapsed})
    site = write(tmp_path / "out")
    text = (tmp_path / "out/features/live-migration.html").read_text()
    for name in ("dom0 boots", "domU boots", "u1 stands still", "whole cell"):
        assert f">{name}</h3>" in text
    (entry,) = site.entries
    job = Job(entry, entry.stored, "", frozenset())
    charts = {chart.name: chart for chart in charts_of([entry], {entry.cell_id: _measured(job, entry.stored.load())})}
    still = charts["u1 stands still"].series[0]
    assert (still.values, still.newest, still.median) == ((20, 30, 25), 25, 25)
    heights = [point.y for point in still.points]
    assert heights[1] < heights[2] < heights[0]


def test_a_died_run_and_a_damaged_journal_still_give_pages(tmp_path: Path) -> None:
    run = create_run([])
    execute(run, "pp|p", scenario="a", die=True)
    damaged = rich(run, "pp|p", scenario="b")
    (damaged / "journal.jsonl").write_text("rubbish\nmore\n")
    write(tmp_path / "out")
    a, b = (
        (tmp_path / "out" / entry.page).read_text() for entry in sorted(gather().entries, key=lambda one: one.cell_id)
    )
    assert "the run died" in a
    assert "no times of steps" in b


@pytest.mark.parametrize(("seconds", "text"), [(0.004, "0.00 s"), (3.14, "3.1 s"), (125.9, "2 min 05 s")])
def test_times_for_people(seconds: float, text: str) -> None:
    assert took(seconds) == text


def test_a_page_remembers_whatever_its_notes_say(tmp_path: Path) -> None:
    notes = ("an end --> of a comment, <b>, \u2028", "\n<!-- testbed {} -->\n")
    measured = (("20261127T000000Z-aaaaaa", "runs/x/index.html", {"boot": 1.5}),)
    line = remembered("key", measured, notes)
    assert line.count("-->") == 1, "nothing of it ends the comment early"
    (tmp_path / "index.html").write_text(f"<p>what is before it</p>{line}", encoding="utf-8")
    assert recall(tmp_path, "key") == (measured, notes)
    assert recall(tmp_path, "another") is None
    (tmp_path / "index.html").write_text("<p>cut off", encoding="utf-8")
    assert recall(tmp_path, "key") is None
