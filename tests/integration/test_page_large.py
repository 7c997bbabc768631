"""The status page of much: consoles of megabytes, ten thousand cells."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from results.features import load_features
from results.page.gather import gather
from results.page.model import Entry, Site
from results.page.site import front_page, write_site
from results.page.write import Writer
from results.seal import SealState
from results.stored import Stored
from tests.integration.test_page import HOSTILE
from tests.unit.results.builders import cell, result
from tests.unit.results.page.directories import rich, run_at


def test_a_hostile_console_of_100_megabytes_is_cut_and_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "state"))
    flood = HOSTILE * ((100 << 20) // len(HOSTILE))
    rich(run_at(1), consoles={"dom0": b"the beginning\r\n" + flood + b"\x1b[H\x1b[2J\x1b[0mthe end\r\n"})
    made = gather()
    write_site(made, tmp_path / "out")
    folder = (tmp_path / "out" / made.entries[0].page).parent
    console = folder / "console/dom0.html"
    assert console.stat().st_size < 16 << 20
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 32 << 20
    text = console.read_text()
    assert "the beginning" in text
    assert "the end" in text
    assert "MiB are left out here" in text
    assert "&lt;script&gt;window.evil=1&lt;/script&gt;" in text
    assert "<script>window" not in text
    assert "<img src=x" not in text


@pytest.fixture
def large_front(tmp_path: Path) -> Path:
    """Return a front page of 10,000 cells: a hundred rows by a hundred columns."""
    stored = []
    for number in range(10_000):
        row, column = divmod(number, 100)
        qemu = f"10.{column % 10 // 2}.0"
        given = cell(
            feature=f"feature-{row}",
            scenario=f"scenario-{row}",
            platform=f"platform-{column // 10}",
            kernel=("stock", "fixed")[column % 2],
            qemu=qemu,
            axes={"qemu": qemu},
        )
        outcome = result("p|" + ("pp", "pf", "ff")[number % 3]).summary().model_copy(update={"cell": given})
        stored.append(
            Stored(
                outcome,
                Path("/state/runs/20261124T100000Z-abcdef/cells") / given.id,
                {"kernel.release": "6.1.176"},
                SealState.SEALED,
            )
        )
    features = load_features()
    rows = tuple(replace_name(features.features[0], f"feature-{number}") for number in range(100))
    site = Site(datetime.now(UTC), features.reference, rows, tuple(Entry(one) for one in stored))
    writer = Writer(tmp_path, site.made)
    front_page(site, writer)
    return tmp_path / "index.html"


def replace_name(feature: Any, name: str) -> Any:
    return feature.model_copy(update={"name": name, "title": name})


def test_ten_thousand_cells_open_within_a_second_and_five_megabytes(browser: Browser, large_front: Path) -> None:
    assert large_front.stat().st_size < 5 << 20
    assert large_front.read_text().count("<td") >= 10_000
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    session = page.context.new_cdp_session(page)
    # Processor time of the page's thread: what else this host does is not counted.
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")
    page.goto(large_front.as_uri())
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    assert 0 < metrics["TaskDuration"] < 1.0
