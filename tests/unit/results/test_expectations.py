from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.paths import PROJECT
from base.yamlmodel import YamlError
from results.expectations import Expectations, exit_code, load_expectations, unexpected
from results.model import Scalar, Section, StepResult, Verdict
from tests.unit.results.builders import LETTERS, TODAY, cell, result

ENTRY = """\
expectations:
  - cell: {scenario: domu-*, platform: [g5, pseries-970], kernel: stock}
    expect: [fail, timeout]
    why: the guest resets for ever
    link: https://example.org/1
    expires: 2027-01-01
"""
Write = Callable[[str], Expectations]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def load(text: str) -> Expectations:
        path = tmp_path / "expectations.yaml"
        path.write_text(text)
        return load_expectations(path)

    return load


@pytest.mark.parametrize(
    ("raw", "verdict"),
    [("fail", "xfail"), ("timeout", "xfail"), ("pass", "xpass"), ("infra", "infra"), ("skip", "skip")],
)
def test_an_expectation_applies(write: Write, raw: str, verdict: str) -> None:
    judged = write(ENTRY).judge(cell(), Verdict(raw), {}, TODAY)
    assert judged.verdict == verdict
    assert (judged.expectation is not None) is verdict.startswith("x")


@pytest.mark.parametrize(
    "changes",
    [{"kernel": "fixed"}, {"platform": "g4"}, {"scenario": "dom0-boot"}],
)
def test_other_cells_are_left_alone(write: Write, changes: dict[str, str]) -> None:
    assert write(ENTRY).judge(cell(**changes), Verdict.FAIL, {}, TODAY).verdict == "fail"
    assert write(ENTRY).judge(cell(**changes), Verdict.PASS, {}, TODAY).verdict == "pass"


def test_an_unexpected_pass_is_loud(write: Write) -> None:
    judged = write(ENTRY).judge(cell(), Verdict.PASS, {}, TODAY)
    assert "unexpected pass" in judged.message
    assert "the guest resets for ever" in judged.message
    assert exit_code([result("p|p", expectations=write(ENTRY))]) == 1


@pytest.mark.parametrize(("raw", "verdict"), [("fail", "xfail"), ("timeout", "timeout"), ("pass", "pass")])
def test_what_fails_now_and_then_may_pass(write: Write, raw: str, verdict: str) -> None:
    unsteady = ENTRY.replace("expect: [fail, timeout]", "expect: [fail, pass]")
    assert write(unsteady).judge(cell(), Verdict(raw), {}, TODAY).verdict == verdict


def test_a_pass_alone_is_nothing_to_expect(write: Write) -> None:
    with pytest.raises(YamlError, match="an expectation is of what fails"):
        write(ENTRY.replace("expect: [fail, timeout]", "expect: pass"))


def test_only_the_expected_kind_of_failure_is_expected(write: Write) -> None:
    judged = write(ENTRY.replace("[fail, timeout]", "fail")).judge(cell(), Verdict.TIMEOUT, {}, TODAY)
    assert judged.verdict == "timeout"
    assert "expected fail, not timeout" in judged.message


def test_an_expired_expectation_says_so(write: Write) -> None:
    expectations = write(ENTRY)
    assert expectations.judge(cell(), Verdict.FAIL, {}, date(2027, 1, 1)).verdict == "xfail"
    judged = expectations.judge(cell(), Verdict.FAIL, {}, date(2027, 1, 2))
    assert (judged.verdict, judged.expectation) == ("fail", None)
    assert "expired on 2027-01-01" in judged.message
    assert expectations.judge(cell(), Verdict.PASS, {}, date(2027, 1, 2)).verdict == "pass"


@pytest.mark.parametrize(
    ("versions", "facts", "qemu", "verdict"),
    [
        ('{qemu: ">=10,<12"}', {}, "10.0.13", "xfail"),
        ('{qemu: ">=10,<12"}', {}, "12.0", "fail"),
        ('{qemu: ">=10,<12"}', {}, "", "fail"),
        ('{kernel: ">=6.1,<6.13"}', {"kernel": "6.1.0-31-powerpc64+"}, "10", "xfail"),
        ('{kernel: ">=6.1,<6.13"}', {"kernel": "6.13.0-rc1"}, "10", "fail"),
        ('{kernel: ">=6.1,<6.13"}', {}, "10", "fail"),
        ('{kernel: ">=6.1", qemu: "<9"}', {"kernel": "6.1"}, "10", "fail"),
    ],
)
def test_version_ranges(write: Write, versions: str, facts: dict[str, Scalar], qemu: str, verdict: str) -> None:
    expectations = write(ENTRY + f"    versions: {versions}\n")
    judged = expectations.judge(cell(qemu=qemu), Verdict.FAIL, facts, TODAY)
    assert judged.verdict == verdict
    assert verdict == "xfail" or "does not apply" in judged.message


@pytest.mark.parametrize(
    ("section", "verdict"),
    [("feature", "xfail"), ("prepare", "fail"), (None, "fail")],
)
def test_a_failure_on_the_way_there_is_not_the_expected_one(
    write: Write, section: Section | None, verdict: str
) -> None:
    expectations = write(ENTRY + "    section: feature\n")
    assert expectations.judge(cell(), Verdict.FAIL, {}, TODAY, section).verdict == verdict


def test_axes_can_be_named(write: Write) -> None:
    expectations = write(ENTRY.replace("kernel: stock", 'axes: {vcpus: "[2-4]"}'))
    assert expectations.judge(cell(axes={"vcpus": "2"}), Verdict.FAIL, {}, TODAY).verdict == "xfail"
    assert expectations.judge(cell(), Verdict.FAIL, {}, TODAY).verdict == "fail"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[fail, timeout]", "[fail, infra]", "expectations.yaml:3:"),
        ("[fail, timeout]", "pass", "expectations.yaml:3:"),
        ("why:", "wy:", "expectations.yaml:4:5: unknown key 'wy'; did you mean 'why'"),
        ("    link: https://example.org/1\n", "", "key 'link' is missing"),
        ("2027-01-01", "soon", "expectations.yaml:6:5:"),
        ("scenario: domu-*, ", "", "hides everything"),
        ("kernel: stock", "kernl: stock", "did you mean 'kernel'"),
        ("expires: 2027-01-01", 'expires: 2027-01-01\n    versions: {qemu: "ten"}', "is no range"),
    ],
)
def test_mistakes_are_shown_where_they_stand(write: Write, old: str, new: str, says: str) -> None:
    assert old in ENTRY
    with pytest.raises(YamlError) as caught:
        write(ENTRY.replace(old, new))
    assert says in str(caught.value)


def test_the_projects_own_expectations_are_sound() -> None:
    expectations = load_expectations()
    for entry in expectations.entries:
        assert entry.link.startswith("https://") or (PROJECT / entry.link).is_file(), entry.link
    for platform in ("g5", "pseries-970"):
        judged = expectations.judge(cell(platform=platform), Verdict.TIMEOUT, {"kernel": "6.1.140"}, TODAY, "feature")
        assert judged.verdict == "xfail"
    fixed = expectations.judge(cell(kernel="fixed"), Verdict.TIMEOUT, {"kernel": "6.1.140"}, TODAY, "feature")
    assert fixed.verdict == "timeout"


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([], 0),
        (["p|p"], 0),
        (["p|p", "s"], 0),
        (["p|p", "p|f"], 1),
        (["p|t", "p|i"], 1),
        (["p|i", "p|p"], 3),
    ],
)
def test_exit_codes(cells: list[str], code: int) -> None:
    assert exit_code([result(letters) for letters in cells]) == code


def test_surprises_of_the_product_come_first() -> None:
    found = unexpected([result("p|i"), result("p|p"), result("p|f")])
    assert [one.verdict for one in found] == ["fail", "infra"]


@given(st.sampled_from(sorted(LETTERS)), st.booleans())
def test_trouble_of_ours_is_never_expected_and_nothing_unexpected_is_hidden(letter: str, matching: bool) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(ENTRY)
        file.flush()
        expectations = load_expectations(Path(file.name))
    made = result(f"p|{letter}", expectations=expectations, kernel="stock" if matching else "fixed")
    quiet = exit_code([made]) == 0
    assert quiet is (letter == "s" or ((letter in "ft") is matching and letter != "i"))


CHECKLIST = ENTRY.replace("    expires", "    steps: {network-attach *: fails, reboot *: may-fail}\n    expires")


@pytest.mark.parametrize(
    ("failed", "verdict", "told"),
    [
        (("network-attach u1",), "xfail", ""),
        (("network-attach u1", "reboot u2"), "xfail", ""),
        (("network-attach u1", "save u1"), "fail", "step 3, save u1, is not among those that fail"),
        (("reboot u2",), "fail", "step 1, network-attach u1, passes"),
        ((), "xpass", "unexpected pass"),
    ],
)
def test_of_a_checklist_only_the_steps_that_are_named_may_fail(
    failed: tuple[str, ...], verdict: str, told: str, write: Write
) -> None:
    titles = ("network-attach u1", "reboot u2", "save u1")
    steps = [
        StepResult(
            index=index,
            section="feature",
            verb=title.split()[0],
            title=title,
            verdict=Verdict.FAIL if title in failed else Verdict.PASS,
        )
        for index, title in enumerate(titles)
    ]
    raw = Verdict.FAIL if failed else Verdict.PASS
    judged = write(CHECKLIST).judge(cell(), raw, {}, TODAY, "feature", steps=steps)
    assert judged.verdict == verdict
    assert told in judged.message
