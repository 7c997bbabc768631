"""The page's folder over time: what stays, what is made again, and that nobody else's is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from base.errors import UsageError
from results.page.cli import main
from results.page.gather import gather
from results.page.site import write_site
from results.store import create_run
from tests.unit.results.builders import execute
from tests.unit.results.page.directories import rich, run_at, write


def test_permanent_addresses_outlive_new_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run_at(1)
    rich(first, "pp|ppp")
    write(out)
    old = out / f"runs/{first.id}/domu-boot.g5.kvm-pr.stock/index.html"
    before = old.read_bytes()
    second = run_at(2)
    rich(second, "pp|ppf")
    write(out, older=0)
    assert old.read_bytes() == before
    newest = (out / "cells/domu-boot.g5.kvm-pr.stock/index.html").read_text()
    assert f"url=../../runs/{second.id}/domu-boot.g5.kvm-pr.stock/index.html" in newest
    page = (out / f"runs/{second.id}/domu-boot.g5.kvm-pr.stock/index.html").read_text()
    assert f'href="../../../runs/{first.id}/domu-boot.g5.kvm-pr.stock/index.html"' in page


def test_what_did_not_change_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = rich(run_at(1), "pp|ppp", scenario="a")
    rich(run_at(2), "pp|ppf", scenario="b")
    site = write(out)
    rendered: list[str] = []

    def render(*_: object) -> tuple[list[object], tuple[str, ...]]:
        rendered.append("console")
        return [], ()

    monkeypatch.setattr("results.page.consoles.render", render)
    texts = {path: path.read_bytes() for path in (out / "features").iterdir()}
    write(out, replace(gather(), made=site.made))
    assert rendered == []
    assert {path: path.read_bytes() for path in texts} == texts
    # Evidence that changed, another history, and doubts each make a page anew.
    (first / "console/dom0.log").write_bytes(b"edited\r\n")
    write(out)
    assert rendered == ["console"] * 2
    rich(run_at(3), "pp|ppp", scenario="b")
    write(out)
    assert rendered == ["console"] * 4
    monkeypatch.setenv("TESTBED_EXPIRY", "0.0000001")
    write(out)
    assert rendered == ["console"] * 6


def test_older_results_get_pages_that_say_so(tmp_path: Path) -> None:
    runs = [run_at(hour) for hour in range(4)]
    for run in runs:
        rich(run)
    write(tmp_path / "out", older=2)
    made = [run.id for run in runs if (tmp_path / "out/runs" / run.id).exists()]
    assert made == [run.id for run in runs[1:]]
    old = (tmp_path / f"out/runs/{runs[1].id}/domu-boot.g5.kvm-pr.stock/index.html").read_text()
    assert "an execution of the past" in old


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="was not made by `testbed page`"):
        write(tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="is a file"):
        write(tmp_path / "home/thesis.txt")


def test_the_command_says_what_it_made_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute(create_run([]), "p|p")
    assert main(["--out", str(tmp_path / "out"), "--run", "last"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out/index.html")
    with pytest.raises(UsageError, match="no run 'nonsense'"):
        main(["--out", str(tmp_path / "out"), "--run", "nonsense"])
    with pytest.raises(SystemExit) as ending:
        main(["--older", "-1"])
    assert ending.value.code == 2


def test_without_results_there_is_a_page_that_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "out")]) == 0
    assert "No results yet" in (tmp_path / "out/index.html").read_text()
    assert "no results yet" in capsys.readouterr().err


def test_several_processes_write_what_one_does(tmp_path: Path) -> None:
    run = create_run([])
    for number in range(45):
        rich(run, scenario=f"s{number}")
    site = gather()
    write_site(site, tmp_path / "one", workers=1)
    write_site(site, tmp_path / "two", workers=2)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file()}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
