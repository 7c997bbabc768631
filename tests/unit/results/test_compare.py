"""What broke between two sides, and the laws that a comparison obeys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import UsageError
from harness.cli import main
from results.baselines import find_baseline, list_baselines, remove_baseline, save_baseline
from results.compare import MIRROR, Comparison, Kind, Outcome, Side, common_changes, compare, suspects
from results.compared import SCREEN, markdown, summary, text, to_json
from results.history import first_bad, moments
from results.inputs import Change, changes, product_key
from results.matrix import build_matrix
from results.matrix import to_json as matrix_json
from results.model import Status, Verdict
from results.sides import load_side
from results.store import Run, cell_history, create_run, find_run, known_verdicts, results_of
from tests.unit.results.builders import cell, execute, spec

RAWS = {"p": Verdict.PASS, "f": Verdict.FAIL, "t": Verdict.TIMEOUT, "i": Verdict.INFRA, "s": Verdict.SKIP}
STATUSES = {"p": Status.YES, "f": Status.NO, "t": Status.CLOSE, "i": Status.UNTESTED, "s": Status.NA}


def outcome(name: str, letter: str, kernel: str = "k1", *, known: bool = False) -> Outcome:
    raw = RAWS[letter]
    verdict = {Verdict.PASS: Verdict.XPASS, Verdict.FAIL: Verdict.XFAIL}.get(raw, raw) if known else raw
    inputs = {"kernel.image": kernel, "scenario": "s"} if kernel else {}
    return Outcome(name, verdict, raw, STATUSES[letter], message=f"said {letter}", inputs=inputs)


def side(*outcomes: Outcome, name: str = "side") -> Side:
    return Side(name, {one.cell: one for one in outcomes})


outcomes = st.builds(
    outcome,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(sorted(RAWS)),
    st.sampled_from(["k1", "k2", ""]),
    known=st.booleans(),
)
sides = st.lists(outcomes, max_size=5).map(lambda some: side(*some))
histories = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.lists(
        st.tuples(
            st.sampled_from(["k1", "k2"]).map(lambda kernel: {"kernel.image": kernel, "scenario": "s"}),
            st.sampled_from(list(RAWS.values())),
        ),
        max_size=3,
    ),
)


def kinds(comparison: Comparison) -> dict[str, Kind]:
    return {one.cell: one.kind for one in comparison.cells}


@given(sides, histories)
def test_a_side_compared_with_itself_has_no_differences(one: Side, known: Any) -> None:
    comparison = compare(one, one, known)
    assert comparison.differences == []
    assert comparison.new_failures == []
    assert not {Kind.BROKEN, Kind.FIXED, Kind.APPEARED, Kind.VANISHED} & set(kinds(comparison).values())
    assert comparison.exit_code == 0


@given(sides, sides, histories)
def test_exchanged_sides_give_the_mirror_image(one: Side, two: Side, known: Any) -> None:
    there, back = compare(one, two, known), compare(two, one, known)
    assert kinds(back) == {name: MIRROR.get(kind, kind) for name, kind in kinds(there).items()}
    for forth, mirrored in zip(there.cells, back.cells, strict=True):
        assert (forth.before, forth.after) == (mirrored.after, mirrored.before)
        assert forth.changes == tuple(Change(name, after, before) for name, before, after in mirrored.changes)
    assert {one.cell for one in there.differences} == {one.cell for one in back.differences}


@given(sides, sides, histories)
def test_every_cell_is_told_once_and_every_form_can_be_made(one: Side, two: Side, known: Any) -> None:
    comparison = compare(one, two, known)
    assert sorted(kinds(comparison)) == sorted(one.outcomes.keys() | two.outcomes.keys())
    data = json.loads(json.dumps(to_json(comparison)))
    assert sum(data["counts"].values()) == len(comparison.cells)
    assert text(comparison)
    assert markdown(comparison)
    assert len(summary(comparison).splitlines()) <= SCREEN


@pytest.mark.parametrize(
    ("before", "after", "kind", "new"),
    [
        ("p1", "f2", Kind.BROKEN, True),
        ("p1", "t2", Kind.BROKEN, True),
        ("p1", "f1", Kind.FLAKY, False),
        ("p", "f", Kind.BROKEN, True),
        ("f1", "p2", Kind.FIXED, False),
        ("f1", "p1", Kind.FLAKY, False),
        ("f1", "f2", Kind.STILL, False),
        ("f1", "t2", Kind.STILL, False),
        ("p1", "p2", Kind.SAME, False),
        ("p1", "i2", Kind.INFRA, False),
        ("i1", "f2", Kind.INFRA, True),
        ("i1", "p2", Kind.INFRA, False),
        ("s1", "f2", Kind.APPEARED, True),
        ("p1", "s2", Kind.VANISHED, False),
        ("s1", "s2", Kind.SAME, False),
        ("", "f2", Kind.APPEARED, True),
        ("", "p2", Kind.APPEARED, False),
        ("f1", "", Kind.VANISHED, False),
    ],
)
def test_what_becomes_of_a_cell(before: str, after: str, kind: Kind, new: bool) -> None:
    def one(word: str) -> Side:
        return side(*[outcome("a", word[0], f"k{word[1:]}" if word[1:] else "")] if word else [])

    comparison = compare(one(before), one(after))
    assert kinds(comparison) == {"a": kind}
    assert comparison.exit_code == (1 if new else 0)


def test_what_an_expectation_covers_is_no_new_failure() -> None:
    comparison = compare(side(outcome("a", "p")), side(outcome("a", "f", "k2", known=True)))
    assert kinds(comparison) == {"a": Kind.BROKEN}
    assert comparison.exit_code == 0
    assert "(known)" in text(comparison)


def test_a_failure_other_than_the_expected_one_is_new() -> None:
    before, after = side(outcome("a", "f", known=True)), side(outcome("a", "f", "k2"))
    assert kinds(compare(before, after)) == {"a": Kind.BROKEN}
    assert compare(before, after).exit_code == 1
    assert kinds(compare(after, before)) == {"a": Kind.FIXED}
    assert compare(after, before).exit_code == 0
    late = side(outcome("a", "t", "k2"))
    assert kinds(compare(before, late)) == {"a": Kind.BROKEN}


def test_history_tells_what_is_flaky() -> None:
    before, after = side(outcome("a", "p")), side(outcome("a", "f", "k2"))
    assert suspects(before, after) == ["a"]
    seen = {"a": [({"kernel.image": "k2", "scenario": "s"}, Verdict.PASS)]}
    assert kinds(compare(before, after, seen)) == {"a": Kind.FLAKY}
    elsewhere = {"a": [({"kernel.image": "k3", "scenario": "s"}, Verdict.PASS)]}
    assert kinds(compare(before, after, elsewhere)) == {"a": Kind.BROKEN}


def test_the_host_is_told_but_makes_no_other_product() -> None:
    here = {"kernel.image": "k", "scenario": "s", "host.cpu": "fast"}
    there = {**here, "host.cpu": "slow"}
    assert product_key(here) == product_key(there)
    assert [str(change) for change in changes(here, there)] == ["host.cpu: fast -> slow"]
    assert product_key({"host.cpu": "fast"}) is None
    assert str(changes({"a": "0123456789abcdef" * 4}, {})[0]) == "a: 0123456789ab -> -"


def test_what_all_have_in_common_is_told_once() -> None:
    before = side(outcome("a", "p"), outcome("b", "p"))
    after = side(outcome("a", "f", "k2"), outcome("b", "f", "k2"))
    comparison = compare(before, after)
    assert [str(change) for change in common_changes(comparison.of(Kind.BROKEN))] == ["kernel.image: k1 -> k2"]
    assert text(comparison).count("kernel.image: k1 -> k2") == 1


def test_a_summary_fits_on_a_screen_and_names_the_whole() -> None:
    before = side(*[outcome(f"c{number:03}", "p") for number in range(200)], name="main (1)")
    after = side(*[outcome(f"c{number:03}", "f", "k2") for number in range(200)], name="2")
    lines = summary(compare(before, after)).splitlines()
    assert len(lines) == SCREEN
    assert "200 newly broken: 200 new failures" in lines[0]
    assert lines[-1].endswith("./testbed compare main 2")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setenv("TESTBED_RESULTS", str(folder))
    return folder


def run_at(root: Path, stamp: str) -> Run:
    made = create_run([], root=root)
    moved = made.directory.with_name(f"{stamp}-000000")
    made.directory.rename(moved)
    return Run(moved.name, moved, made.started, (), {})


@pytest.fixture
def two(root: Path) -> tuple[Run, Run]:
    """A run in which all is well, and one with another kernel in which a cell broke."""
    old, new = run_at(root, "20260101T000000Z"), run_at(root, "20260201T000000Z")
    for kernel in ("stock", "fixed"):
        execute(old, "p|p", kernel=kernel, inputs=spec("a" * 40))
    execute(new, "p|p", kernel="stock", inputs=spec("b" * 40))
    execute(new, "p|f", kernel="fixed", inputs=spec("b" * 40))
    return old, new


def test_the_command_names_the_regression_and_what_changed(
    two: tuple[Run, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "202601", "last"]) == 1
    printed = capsys.readouterr().out
    assert "1 newly broken, 1 same: 1 new failure" in printed
    assert "domu-boot.g5.kvm-pr.fixed: yes -> no" in printed
    assert f"kernel.image: {'a' * 12} -> {'b' * 12}" in printed
    assert str(two[1].directory / "cells/domu-boot.g5.kvm-pr.fixed") in printed
    assert main(["compare", "last", "202601"]) == 0
    assert "1 newly fixed" in capsys.readouterr().out
    assert main(["compare", "last", "last", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["new_failures"], data["counts"]["still broken"]) == ([], 1)
    assert main(["compare", "202601", "last", "--format", "md"]) == 1
    assert "| `domu-boot.g5.kvm-pr.fixed` | yes | no | kernel.image:" in capsys.readouterr().out


def test_files_and_folders_of_another_machine_are_sides(two: tuple[Run, Run], tmp_path: Path) -> None:
    old, new = two
    wanted = {name: one.raw for name, one in load_side(old.id).outcomes.items()}
    exported = tmp_path / "main.json"
    exported.write_text(json.dumps(matrix_json(build_matrix(results_of(old)))))
    from_file = load_side(str(exported))
    assert {name: one.raw for name, one in from_file.outcomes.items()} == wanted
    assert from_file.outcomes == {
        name: Outcome(**{**vars(one), "evidence": from_file.outcomes[name].evidence})
        for name, one in load_side(old.id).outcomes.items()
    }
    assert kinds(compare(from_file, load_side(new.id))) == kinds(compare(load_side(old.id), load_side(new.id)))
    assert load_side(f"{new.directory}/").outcomes == load_side(new.id).outcomes
    assert load_side(f"{new.directory}/cells/").outcomes == load_side(new.id).outcomes
    (tmp_path / "jsons").mkdir()
    exported.rename(tmp_path / "jsons/a.json")
    assert load_side(f"{tmp_path}/jsons").outcomes == from_file.outcomes


def test_a_matrix_of_before_inputs_were_written_is_a_side(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    one = {"id": "a.b.c.d", "verdict": "xfail", "status": "no", "message": "m", "run": "r"}
    path.write_text(json.dumps({"schema": 1, "cells": [one]}))
    (loaded,) = load_side(str(path)).outcomes.values()
    assert (loaded.raw, loaded.inputs) == (Verdict.FAIL, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "nothing", "last"], "'nothing' is neither a run nor a baseline"),
        (["compare", "mian", "last"], "did you mean 'main'?"),
        (["compare", "20260", "last"], "'20260' begins 2 runs"),
        (["compare", "./none.json", "last"], "./none.json: it does not exist"),
        (["compare", "{bad}", "last"], "is no matrix in JSON"),
        (["compare", "{empty}/", "last"], "has no results"),
        (["baseline", "last", "last"], "cannot be called 'last'"),
        (["baseline", "../x", "last"], "cannot be called '../x'"),
        (["baseline", "other"], "no baseline 'other'"),
        (["baseline", "--remove", "other"], "no baseline 'other'"),
        (["baseline", "main", "1999"], "no run '1999'"),
        (["results", "history", "domu-boot.g5.kvm-pr.fixd"], "did you mean 'domu-boot.g5.kvm-pr.fixed'?"),
        (["run", "--baseline", "nothing"], "'nothing' is neither a run nor a baseline"),
        (["run", "--save-baseline", "a b"], "cannot be called 'a b'"),
        (["run", "--shard", "4/3"], "'4/3' is no shard"),
        (["run", "--shard", "0/3"], "'0/3' is no shard"),
        (["run", "--costs", "none.json"], "none.json: it does not exist"),
        (["run", "domu-boot", "--shard", "99/99"], "shard 99/99 has no cell: there are only 16"),
        (["run", "--summary", "/none/s.md"], "cannot write /none/s.md"),
        (["matrix", "--expiry", "0"], "--expiry is '0.0'"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    two: tuple[Run, Run], words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, root: Path
) -> None:
    save_baseline("main", two[0])
    (tmp_path / "bad.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    given = [word.format(bad=tmp_path / "bad.json", empty=tmp_path / "empty") for word in words]
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert len(list((root / "runs").iterdir())) == 2


def test_a_baseline_is_a_name_for_a_run(two: tuple[Run, Run], capsys: pytest.CaptureFixture[str]) -> None:
    old, new = two
    assert main(["baseline", "main", "202601"]) == 0
    assert main(["baseline", "main"]) == 0
    assert capsys.readouterr().out == f"main is run {old.id}\n{old.id}\n"
    assert main(["compare", "main", "last"]) == 1
    assert f"main ({old.id}) -> last ({new.id})" in capsys.readouterr().out
    save_baseline("main", new)
    assert find_baseline("main") == find_run("last")
    assert main(["baseline"]) == 0
    assert f"main  {new.id}" in capsys.readouterr().out
    import shutil

    shutil.rmtree(new.directory)
    with pytest.raises(UsageError, match="is not there any more"):
        load_side("main")
    remove_baseline("main")
    assert list_baselines() == {}


def test_history_shows_what_changed_and_the_first_bad_change(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = [("p|p", "k1"), ("p|p", "k2"), ("p|i", "k3"), ("p|f", "k3"), ("p|f", "k4")]
    for number, (letters, kernel) in enumerate(story):
        execute(run_at(root, f"2026010{number + 1}T000000Z"), letters, inputs=spec(kernel))
    found = cell_history(cell().id)
    assert [[str(change) for change in moment.changes] for moment in found] == [
        [],
        ["kernel.image: k1 -> k2"],
        ["kernel.image: k2 -> k3"],
        [],
        ["kernel.image: k3 -> k4"],
    ]
    broke = first_bad(found)
    assert broke is not None
    assert broke.good is not None
    assert (broke.good.result.run[:8], broke.bad.result.run[:8]) == ("20260102", "20260104")
    assert [str(change) for change in broke.changes] == ["kernel.image: k2 -> k3"]
    assert main(["results", "history", cell().id]) == 0
    printed = capsys.readouterr().out
    assert "first bad: 20260104T000000Z-000000, passed last in 20260102T000000Z-000000" in printed
    assert main(["results", "history", cell().id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first_bad"]["good"] == "20260102T000000Z-000000"
    assert main(["results", "list"]) == 0
    assert "20260104T000000Z-000000  1 fail" in capsys.readouterr().out
    assert len(known_verdicts([cell().id])[cell().id]) == 5


@pytest.mark.parametrize(
    ("letters", "bad"), [("", None), ("p", None), ("fp", None), ("i", None), ("ff", 0), ("pfif", 1)]
)
def test_first_bad(root: Path, letters: str, bad: int | None) -> None:
    runs = [run_at(root, f"2026010{number + 1}T000000Z") for number in range(len(letters))]
    for run, letter in zip(runs, letters, strict=True):
        execute(run, f"p|{letter}")
    broke = first_bad(cell_history(cell().id))
    assert (broke and broke.bad.result.run) == (None if bad is None else runs[bad].id)
    assert moments([]) == []
