"""Whose failure it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from base.yamlmodel import YamlError
from results.compare import Outcome, Side, compare
from results.compared import markdown as compared_markdown
from results.compared import text, to_json
from results.matrix import Column, build_matrix
from results.matrix import to_json as matrix_json
from results.model import Status, Verdict
from results.render import markdown, print_table
from results.stored import Stored
from results.triage import (
    FAILING,
    Place,
    Reference,
    References,
    Triage,
    in_data,
    judge,
    load_references,
    together,
    triage,
)
from tests.unit.results.builders import stored

PC = References((Reference(platform="pc-xen", why="at home"),))
STATUS = st.sampled_from(list(Status))
SCENARIOS = ("boot", "disk")
PLATFORMS = ("g5", "pseries-970", "pc-xen")
CELLS = st.dictionaries(
    st.builds("{}.{}.hv.k".format, st.sampled_from(SCENARIOS), st.sampled_from(PLATFORMS)), STATUS, max_size=6
)


@pytest.mark.parametrize(
    ("status", "references", "found"),
    [
        (Status.NO, [Status.YES], Triage.PORT),
        (Status.CLOSE, [Status.YES], Triage.PORT),
        (Status.NO, [Status.NO], Triage.SHARED),
        (Status.CLOSE, [Status.NO], Triage.SHARED),
        (Status.NO, [Status.CLOSE], Triage.SHARED),
        (Status.NO, [], Triage.UNJUDGED),
        (Status.NO, [Status.UNTESTED, Status.NA], Triage.UNJUDGED),
        # That it passes on one of several shows that the test can.
        (Status.NO, [Status.NO, Status.YES, Status.NA], Triage.PORT),
        (Status.YES, [Status.NO], None),
        (Status.UNTESTED, [Status.YES], None),
        (Status.NA, [Status.YES], None),
    ],
)
def test_a_failure_is_held_against_the_reference(
    status: Status, references: list[Status], found: Triage | None
) -> None:
    assert triage(status, references) is found


@given(status=STATUS, references=st.lists(STATUS), noise=st.lists(st.sampled_from([Status.UNTESTED, Status.NA])))
def test_only_what_is_said_counts(status: Status, references: list[Status], noise: list[Status]) -> None:
    found = triage(status, references)
    assert found == triage(status, references + noise) == triage(status, list(reversed(references)))
    assert (found is None) == (status not in FAILING)
    assert (found is Triage.PORT) == (status in FAILING and Status.YES in references)


@given(found=st.lists(st.sampled_from([None, *Triage])), seed=st.randoms(use_true_random=False))
def test_several_come_to_what_one_of_them_is(found: list[Triage | None], seed: Any) -> None:
    whole = together(found)
    shuffled = list(found)
    seed.shuffle(shuffled)
    assert together(shuffled) is whole
    assert whole in found if any(found) else whole is None
    assert together([whole, *found]) is whole
    assert (whole is Triage.PORT) == (Triage.PORT in found)


@given(statuses=CELLS)
def test_laws_of_judging(statuses: dict[str, Status]) -> None:
    found = judge(statuses, PC)
    reference = {cell for cell in statuses if ".pc-xen." in cell}
    failing = {cell for cell in statuses if statuses[cell] in FAILING} - reference
    assert set(found) == (failing if reference else set())
    for cell, judged in found.items():
        scenario = cell.split(".")[0]
        there = statuses.get(f"{scenario}.pc-xen.hv.k")
        assert judged.triage is triage(statuses[cell], [there] if there else [])
        assert set(judged.by) <= reference
        assert bool(judged.by) == (judged.triage is not Triage.UNJUDGED)
    # Other ports have no say.
    for cell in failing:
        alone = {name: status for name, status in statuses.items() if name in reference or name == cell}
        assert judge(alone, PC).get(cell) == found.get(cell)
    assert judge(statuses, References()) == {}


def test_a_cell_s_id_tells_its_place() -> None:
    cell = stored("p|f", axes={"qemu": "7.2"}).result.cell
    assert Place.of_id(cell.id) == (cell.scenario, cell.platform, cell.hypervisor, cell.kernel)
    assert Place.of_id("odd") == ("odd", "", "", "")


def test_the_project_names_its_references() -> None:
    references = load_references()
    assert references.has(Place("domu-boot", "pc-xen", "xen-x86", "4-17"))
    assert not references.has(Place("domu-boot", "g5", "kvm-pr", "fixed"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{why: x}", "name a `platform` or a `hypervisor`"),
        ("{platform: pc, because: x}", "unknown key 'because'"),
        ("{platform: pc}", "key 'why' is missing"),
    ],
)
def test_a_mistake_is_told_with_its_line(entry: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "references.yaml"
    path.write_text(f"references:\n  - {entry}\n")
    with pytest.raises(YamlError, match=r"references.yaml:2:\d+: ") as caught:
        load_references(path)
    assert said in str(caught.value)


def _results(*, reference: str | None) -> list[Stored]:
    found = [stored("p|f"), stored("p|p", feature="smp-guest", scenario="smp-guest")]
    if reference is not None:
        found.append(stored(reference, platform="pc-xen", hypervisor="xen-x86", kernel="4-17"))
    return found


def _table(results: list[Stored]) -> str:
    console = Console(width=160, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        print_table(build_matrix(results), console)
    return captured.get()


@pytest.mark.parametrize(
    ("reference", "word"),
    [("p|p", "port failure"), ("p|f", "test or upstream"), ("p|i", "unjudged"), (None, None)],
)
def test_it_is_shown_in_words_wherever_the_status_is(reference: str | None, word: str | None) -> None:
    results = _results(reference=reference)
    matrix = build_matrix(results)
    cell = matrix.cell("domu-boot", Column("g5", "kvm-pr", "stock"))
    assert cell.remark == (word or "")
    assert (f"no ({word})" in _table(results)) is (word is not None)
    assert (f"no ({word})" in markdown(matrix)) is (word is not None)
    assert ("(reference)" in _table(results)) is (reference is not None)
    assert ("pc-xen<br>xen-x86<br>4-17<br>(reference)" in markdown(matrix)) is (reference is not None)
    data = {one["id"]: one for one in matrix_json(matrix)["cells"]}
    told = data["domu-boot.g5.kvm-pr.stock"]
    # Programs are told in either case.
    assert told["triage"] == (word or "unjudged")
    assert told["judged_by"] == (["domu-boot.pc-xen.xen-x86.4-17"] if word and word != "unjudged" else [])
    assert data["smp-guest.g5.kvm-pr.stock"]["triage"] is None
    if reference:
        one = data["domu-boot.pc-xen.xen-x86.4-17"]
        assert (one["reference"], one["triage"]) == (True, None)


def test_data_is_never_silent_about_a_failure() -> None:
    for status in Status:
        assert (in_data(status, "") == "unjudged") is (status in FAILING)
        assert in_data(status, "", reference=True) is None
        assert in_data(status, "port failure") == "port failure"


def _side(name: str, **statuses: str) -> Side:
    verdicts = {"yes": Verdict.PASS, "no": Verdict.FAIL}
    ids = {"g5": "boot.g5.kvm-pr.fixed", "pc": "boot.pc-xen.xen-x86.4-17"}
    return Side(
        name,
        {
            ids[key]: Outcome(ids[key], verdicts[value], verdicts[value], Status(value))
            for key, value in statuses.items()
        },
    )


@pytest.mark.parametrize(
    ("before", "after", "beside", "word"),
    [
        ({"g5": "yes"}, {"g5": "no", "pc": "yes"}, None, "port failure"),
        ({"g5": "yes"}, {"g5": "no", "pc": "no"}, None, "test or upstream"),
        # A run of the port alone is judged by what the first side has of the reference.
        ({"g5": "yes", "pc": "yes"}, {"g5": "no"}, None, "port failure"),
        ({"g5": "yes", "pc": "yes"}, {"g5": "no", "pc": "no"}, None, "test or upstream"),
        ({"g5": "yes"}, {"g5": "no"}, {"pc": "yes"}, "port failure"),
        ({"g5": "yes"}, {"g5": "no"}, None, None),
    ],
)
def test_a_comparison_says_whose_failure_it_is(
    before: dict[str, str], after: dict[str, str], beside: dict[str, str] | None, word: str | None
) -> None:
    other = None if beside is None else _side("c", **beside)
    comparison = compare(_side("a", **before), _side("b", **after), references=PC, beside=other)
    (cell,) = [one for one in comparison.cells if ".g5." in one.cell]
    assert cell.triage == word
    assert (f"yes -> no ({word})" in text(comparison)) is (word is not None)
    assert (f"no ({word})" in compared_markdown(comparison)) is (word is not None)
    data = json.loads(json.dumps(to_json(comparison)))
    assert [one["triage"] for one in data["cells"] if ".g5." in one["id"]] == [word or "unjudged"]
    assert comparison.exit_code == compare(_side("a", **before), _side("b", **after)).exit_code == 1


def test_what_is_fixed_is_nobody_s_failure() -> None:
    comparison = compare(_side("a", g5="no", pc="yes"), _side("b", g5="yes", pc="yes"), references=PC)
    assert all(cell.triage is None for cell in comparison.cells)
