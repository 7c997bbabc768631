from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from results.conclude import conclude, not_run
from results.expectations import Expectations
from results.model import Result, Status, StepResult, Verdict, raw_verdict, status
from tests.unit.results.builders import NOW, cell, result, steps

LETTERS = st.text("pftis", max_size=5)


@pytest.mark.parametrize(
    ("letters", "declared", "raw", "state"),
    [
        ("pp|pp", 4, "pass", "yes"),
        ("|p", 1, "pass", "yes"),
        ("pp|pp", 5, "infra", "untested"),
        ("pp|ppp", 4, "infra", "untested"),
        ("", 0, "infra", "untested"),
        ("", 3, "infra", "untested"),
        ("pp|", 2, "pass", "untested"),
        ("pp|pf", 4, "fail", "close"),
        ("pp|f", 4, "fail", "no"),
        ("pp|t", 4, "timeout", "no"),
        ("pp|pt", 4, "timeout", "close"),
        ("pf", 4, "fail", "no"),
        ("t", 4, "timeout", "no"),
        ("pi", 4, "infra", "untested"),
        ("pp|pi", 4, "infra", "untested"),
        ("pp|fi", 4, "fail", "no"),
        ("pp|if", 4, "infra", "untested"),
        ("s", 4, "skip", "untested"),
        ("pp|ps", 4, "skip", "untested"),
        ("pf|p", 3, "fail", "close"),
        ("pp|fp", 4, "fail", "close"),
    ],
)
def test_verdict_and_status_follow_from_the_steps(letters: str, declared: int, raw: str, state: str) -> None:
    ran = steps(letters)
    assert (raw_verdict(ran, declared), status(ran, declared)) == (raw, state)


@given(LETTERS, LETTERS, st.integers(0, 12))
def test_yes_means_that_every_step_ran_and_passed(prepare: str, feature: str, declared: int) -> None:
    ran = steps(f"{prepare}|{feature}")
    clean = set(prepare + feature) <= {"p"} and len(ran) == declared and bool(feature)
    assert (status(ran, declared) is Status.YES) is clean


@given(LETTERS, LETTERS, st.integers(0, 12))
def test_every_outcome_is_a_valid_result_and_survives_the_disk(prepare: str, feature: str, declared: int) -> None:
    made = result(f"{prepare}|{feature}", declared=declared)
    assert Result.model_validate_json(made.model_dump_json(by_alias=True)) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "yes"},
        {"verdict": "pass"},
        {"raw": "pass", "verdict": "pass"},
        {"status": "n/a"},
        {"verdict": "xfail"},
        {"raw": "skip", "verdict": "skip", "status": "untested"},
    ],
)
def test_a_typed_verdict_or_status_is_refused(changes: dict[str, str]) -> None:
    data = result("p|pf").model_dump(mode="json", by_alias=True)
    with pytest.raises(ValidationError, match="follow"):
        Result.model_validate({**data, **changes})


def test_a_step_cannot_be_expected() -> None:
    with pytest.raises(ValidationError, match="expectations"):
        StepResult(index=0, section="feature", verb="boot", verdict=Verdict.XFAIL)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "domu-boot.g5.kvm-pr.stock"),
        ({"kernel": "fixed"}, "domu-boot.g5.kvm-pr.fixed"),
        (
            {"axes": {"vcpus": "2", "qemu": "11.1.3"}, "qemu": "11.1.3"},
            "domu-boot.g5.kvm-pr.stock.qemu-11.1.3.vcpus-2",
        ),
    ],
)
def test_a_cell_has_a_stable_name(changes: dict[str, object], name: str) -> None:
    assert cell(**changes).id == name
    assert hash(cell(**changes)) == hash(cell(**changes))


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "A b", "a.b", "-x", "x\n"])
def test_a_cell_name_cannot_leave_its_folder(bad: str) -> None:
    with pytest.raises(ValidationError):
        cell(scenario=bad)
    with pytest.raises(ValidationError):
        cell(axes={bad: "1"})


def test_trouble_that_no_step_shows_says_nothing_about_the_product() -> None:
    made = conclude(
        run="r",
        cell=cell(),
        declared=1,
        steps=steps("|f"),
        started=NOW,
        elapsed=1.0,
        facts={},
        expectations=Expectations(),
        infra="the host ran out of memory",
    )
    assert (made.verdict, made.status, made.message) == ("infra", "untested", "the host ran out of memory")


def test_the_message_names_the_step() -> None:
    assert result("p|pf").message == "step 3, verb2: fail"
    assert result("p|p", declared=5).message == "only 2 of 5 steps ran"


@pytest.mark.parametrize(("applicable", "state"), [(True, "untested"), (False, "n/a")])
def test_what_the_plan_leaves_out(applicable: bool, state: str) -> None:
    made = not_run(run="r", cell=cell(), declared=3, reason="one CPU only", applicable=applicable)
    assert (made.verdict, made.status, made.message) == ("skip", state, "one CPU only")
