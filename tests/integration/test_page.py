"""The status page in a real browser: links, keyboard, accessibility, phone, and what ill-meaning consoles cannot do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

from results.conclude import not_run
from results.expectations import Expectation, Expectations
from results.features import load_features
from results.journal import Journal
from results.page.gather import gather
from results.page.model import Site
from results.page.site import write_site
from tests.unit.results.builders import cell
from tests.unit.results.page.directories import BOOT, rich, run_at

EVIL = "</title></code></div><script>window.evil=1</script><img src=x onerror=window.evil=2><a href=javascript:evil>"
HOSTILE = (
    b"\x1b]0;owned\x07\x1b[2J\x1b[H\x1b[31mred\x1b[0m \x00\xff\xfe "
    + EVIL.encode()
    + "\u202etxt.exe\u2028\r\n".encode()
    + b"\x1b[?1049h\x1b[999;999H\x1b[8m<style>*{display:none}</style>\r\n"
)
# What an attacker would do who had found a way to put markup into a page.
INTRUSION = """() => {
  const script = document.createElement("script");
  script.textContent = "window.evil = 1";
  const box = document.createElement("div");
  box.innerHTML = '<b style="color: rgb(1, 2, 3)" onclick="window.evil = 2">x</b>';
  document.body.append(script, box);
  box.firstChild.click();
}"""
DESKTOP, PHONE = (1280, 800), (360, 740)


def picture(width: int = 64, height: int = 40) -> bytes:
    """Return a grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Site]]:
    """Return a page with every kind of status, mark and evidence, and what it was made from."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESTBED_RESULTS", str(folder / "state"))
        _results()
        found = gather()
        write_site(found, folder / "out")
    yield folder / "out", found


def _results() -> None:
    known = {
        "cell": {"scenario": ["save-restore", "grub"]},
        "expect": "fail",
        "why": "it <b>cannot</b>",
        "link": "https://example.org/1",
    }
    expectations = Expectations((Expectation.model_validate({**known, "expires": date.max.isoformat()}),))
    older, newer = run_at(10), run_at(11)
    rich(older, "pp|ppp", kernel="fixed", spec={"kernel-identity": {"release": "6.1.1"}})
    rich(
        newer,
        "pp|ppf",
        kernel="fixed",
        files={"alarm.txt": b"Oops: 1\nNIP [c0]\n", "autopsy.txt": b"r1\n", "screens/end.png": picture()},
    )
    rich(
        newer,
        "pp|ppp",
        kernel="stock",
        consoles={"dom0": HOSTILE + BOOT * 60, "u1": HOSTILE * 50},
        message=EVIL,
        title=EVIL,
        facts={EVIL: EVIL},
    )
    for hour, downtime in ((older, 40), (newer, 31)):
        rich(
            hour,
            "p|ppp",
            scenario="live-migration",
            feature="live-migration",
            facts={"migration.u1.downtime-ms": downtime},
        )
    rich(newer, "p|pf", scenario="save-restore", feature="save-restore", expectations=expectations)
    rich(newer, "p|p", scenario="grub", feature="grub", platform="pseries-970", expectations=expectations)
    rich(newer, "pi|", scenario="rtas", feature="rtas")
    # A reference, on which one of the failures passes, and one fails as well.
    reference: dict[str, Any] = {"platform": "pc-xen", "hypervisor": "xen-x86", "kernel": "4-17"}
    rich(newer, "p|ppp", scenario="save-restore", feature="save-restore", **reference)
    rich(newer, "pp|ppf", **reference)
    rich(newer, "p|p", scenario="modules", feature="modules", started=datetime.now(UTC) - timedelta(days=90))
    edited = rich(newer, "p|p", scenario="topology", feature="topology")
    (edited / "console/dom0.log").write_bytes(b"all is well\r\n")
    left_out = cell(scenario="smp-guest", feature="smp-guest", qemu="")
    with Journal(newer.cell_directory(left_out)) as journal:
        journal.cell_start(newer.id, left_out, [])
        journal.finish(not_run(run=newer.id, cell=left_out, declared=0, reason="one CPU", applicable=False))


Opener = Callable[..., Page]


@pytest.fixture
def opener(browser: Browser, site: tuple[Path, Site]) -> Iterator[Opener]:
    """Return a maker of pages: a message, an error, a dialog, or a request elsewhere fails the test."""
    out, _ = site
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        trouble.append(f"{message.type}: {message.text}")

    def asked(dialog: Dialog) -> None:
        trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def make(size: tuple[int, int] = DESKTOP, *, quiet: bool = True, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        if quiet:
            page.on("console", heard)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", asked)
        page.on("request", lambda request: _check_request(request.url, out, trouble))
        return page

    yield make
    for context in contexts:
        context.close()
    assert trouble == []


def _check_request(url: str, out: Path, trouble: list[str]) -> None:
    if not url.startswith(out.as_uri()):
        trouble.append(f"request: {url}")


def page_of(site: tuple[Path, Site], scenario: str, kernel: str = "stock") -> Path:
    """Return the newest page of a scenario."""
    out, made = site
    entry = next(e for e in made.entries if (e.result.cell.scenario, e.result.cell.kernel) == (scenario, kernel))
    return out / entry.page


def shown_pages(site: tuple[Path, Site]) -> list[Path]:
    """Return a page of every kind."""
    out, _ = site
    bad, hostile = page_of(site, "domu-boot", "fixed"), page_of(site, "domu-boot")
    pages = [out / "index.html", out / "features/domu-boot.html", out / "features/live-migration.html", bad, hostile]
    pages += [bad.parent / "console/dom0.html", hostile.parent / "console/dom0.html", out / "badges/index.html"]
    pages += [page_of(site, name) for name in ("save-restore", "topology", "modules", "smp-guest", "rtas")]
    return pages


def test_every_link_resolves_and_no_page_complains(opener: Opener, site: tuple[Path, Site]) -> None:
    out, _ = site
    page = opener()
    waiting, seen = [out / "index.html"], set[Path]()
    anchors, wanted = dict[Path, set[str]](), list[tuple[Path, Path, str]]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        page.goto(path.as_uri())
        if path.parent.parent.name == "cells":
            page.wait_for_url("**/runs/**")
            waiting.append(Path(unquote(urlsplit(page.url).path)))
            continue
        anchors[path] = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
        for link in page.evaluate(
            "[...document.links].map(a => a.href.baseVal ? new URL(a.href.baseVal, location).href : a.href)"
        ):
            address = urlsplit(link)
            if address.scheme != "file":
                assert link == "https://example.org/1"
                continue
            target = Path(unquote(address.path))
            assert target.is_file(), (path, link)
            wanted.append((path, target, unquote(address.fragment)))
            if target.suffix == ".html":
                waiting.append(target)
        broken = page.evaluate(
            "[...document.images].filter(i => i.loading != 'lazy' && !i.naturalWidth).map(i => i.src)"
        )
        assert broken == [], path
    for path, target, anchor in wanted:
        if anchor and target in anchors:
            assert anchor in anchors[target], (path, target, anchor)
    every = {path for path in out.rglob("*.html") if path.parent.parent.name != "cells"}
    assert every <= set(anchors), "a page that no link leads to"


def test_by_keyboard_from_the_matrix_to_the_evidence(opener: Opener, site: tuple[Path, Site]) -> None:
    out, _ = site
    page = opener()
    page.goto((out / "index.html").as_uri())

    def focused() -> str:
        return str(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))

    def tab_to(text: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if focused().startswith(text):
                return
        raise AssertionError(f"Tab never comes to {text!r}")

    page.keyboard.press("Tab")
    assert focused() == "Skip to content"
    tab_to("domU boot with console")
    # The first step skips the column of XenPPC, which has no evidence.
    for key, status in (("ArrowRight", "close"), ("ArrowRight", "yes"), ("ArrowUp", "yes"), ("ArrowLeft", "close")):
        page.keyboard.press(key)
        assert focused().startswith(status) or key == "ArrowUp", key
    page.keyboard.press("Enter")
    page.wait_for_url("**/domu-boot.g5.kvm-pr.fixed/index.html")
    tab_to("dom0:")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/dom0.html#L*")
    # The keyboard continues from the line that was linked; the search is before it.
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.name") == "find":
            break
    page.keyboard.type("linux VERSION")
    page.keyboard.press("Enter")
    assert "Linux version 6.1.176" in page.locator(".block > div:target").inner_text()
    assert page.locator("output").inner_text() == "1 of 1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opener: Opener, site: tuple[Path, Site], scheme: str) -> None:
    page = opener(color_scheme=scheme)
    for path in shown_pages(site):
        page.goto(path.as_uri())
        # It would fetch the style sheet again, which the policy forbids.
        found = Axe().run(page, options={"preload": False}).response["violations"]
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path


def test_on_a_phone_only_tables_scroll_sideways(opener: Opener, site: tuple[Path, Site]) -> None:
    page = opener(PHONE, is_mobile=True, has_touch=True)
    for path in shown_pages(site):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], path
    page.goto(shown_pages(site)[0].as_uri())
    assert page.evaluate("(t => t.scrollWidth > t.clientWidth)(document.querySelector('.matrix'))")


def test_rows_and_columns_keep_their_heads_while_scrolling(opener: Opener, site: tuple[Path, Site]) -> None:
    page = opener(PHONE)
    page.goto(shown_pages(site)[0].as_uri())
    page.evaluate("document.querySelector('.matrix').scrollTo(200, 300)")
    box = page.locator(".matrix").bounding_box()
    head, row = page.locator("thead th").first.bounding_box(), page.locator("tbody th[scope=row]").last.bounding_box()
    assert box and head and row
    assert abs(head["y"] - box["y"]) < 3
    assert abs(row["x"] - box["x"]) < 3


def test_without_scripts_all_is_readable_and_nothing_that_needs_them_shows(
    opener: Opener, site: tuple[Path, Site]
) -> None:
    page = opener(java_script_enabled=False)
    page.goto(shown_pages(site)[0].as_uri())
    assert not page.locator("[data-filters]").is_visible()
    page.locator("td.no a, td.close a").first.click()
    assert page.locator("h1").is_visible()
    page.locator("#consoles ~ .scroll a").first.click()
    assert page.locator("#L1").is_visible()
    assert not page.locator("[data-search]").is_visible()


def test_filters_show_what_is_asked_for(opener: Opener, site: tuple[Path, Site]) -> None:
    page = opener()
    page.goto(shown_pages(site)[0].as_uri())
    rows = page.locator("tbody tr:not(.part):visible")
    assert rows.count() == len(load_features().features)
    page.locator("[name=rows]").fill("MIGRAT")
    assert [text.split("\t")[0] for text in rows.all_inner_texts()] == ["live migration"]
    page.locator("[name=rows]").fill("")
    page.locator("[name=only]").select_option("u")
    names = {text.split("\t")[0] for text in rows.all_inner_texts()}
    assert {"domU boot with console", "GRUB from a disk", "RTAS: clock and NVRAM"} <= names
    assert "live migration" not in names
    assert page.locator("output").inner_text() == f"{len(names)} rows"


def test_a_hostile_console_is_text(opener: Opener, site: tuple[Path, Site]) -> None:
    page = opener()
    hostile = page_of(site, "domu-boot").parent
    for path in (hostile / "index.html", hostile / "console/dom0.html", hostile / "console/u1.html"):
        page.goto(path.as_uri())
        assert page.evaluate("window.evil") is None
        assert "owned" not in page.title()
        assert page.locator("img[src=x]").count() == 0
        assert page.locator("main").is_visible()
    text = page.locator(".lines").inner_text()
    assert "<script>window.evil=1</script>" in text
    assert "<U+202E>txt.exe<U+2028>" in text


def test_the_policy_holds_against_scripts_and_styles_that_got_in(opener: Opener, site: tuple[Path, Site]) -> None:
    page = opener(quiet=False)
    for path in shown_pages(site)[:6]:
        page.goto(path.as_uri())
        page.evaluate(INTRUSION)
        assert page.evaluate("window.evil") is None, path
        assert page.evaluate("getComputedStyle(document.body.lastChild.firstChild).color") != "rgb(1, 2, 3)", path
