"""What `git bisect run` is told."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InfraError
from base.paths import PROJECT
from harness.bisect import BAD, GOOD, STOP, UNTESTABLE, judge
from harness.cli import main
from results.conclude import conclude, not_run
from results.expectations import Expectations
from results.model import CellId, Result, Section, StepResult, Verdict
from tests.fakes.elf import make_elf

CELL = CellId(feature="domu-boot", scenario="domu-boot", platform="g5", hypervisor="kvm-pr", kernel="own")


def _result(*verdicts: tuple[Section, Verdict]) -> Result:
    """Return a result whose steps ended so; one more was declared unless all passed."""
    steps = [
        StepResult(index=index, section=section, verb="boots", title="boots u1", verdict=verdict, message="no answer")
        for index, (section, verdict) in enumerate(verdicts)
    ]
    return conclude(
        run="r",
        cell=CELL,
        declared=len(steps),
        steps=steps,
        started=datetime(2026, 11, 25, tzinfo=UTC),
        elapsed=1.0,
        facts={},
        expectations=Expectations(),
        infra=None,
    )


PASSED = _result(("prepare", Verdict.PASS), ("feature", Verdict.PASS))
FAILED = _result(("prepare", Verdict.PASS), ("feature", Verdict.FAIL))
HANGS = _result(("feature", Verdict.TIMEOUT))
UNREACHED = _result(("prepare", Verdict.FAIL))
TROUBLE = _result(("prepare", Verdict.INFRA))
LEFT_OUT = not_run(run="r", cell=CELL, declared=0, reason="one CPU", applicable=False)


@pytest.mark.parametrize(
    ("results", "code", "why"),
    [
        ([PASSED], GOOD, "1 of 1 cells passed"),
        ([PASSED, LEFT_OUT], GOOD, "1 of 1 cells passed"),
        ([PASSED, FAILED], BAD, "domu-boot.g5.kvm-pr.own: boots u1: no answer"),
        ([HANGS], BAD, "boots u1"),
        ([TROUBLE, UNREACHED, FAILED], BAD, "boots u1"),
        ([UNREACHED, PASSED], UNTESTABLE, "did not get as far as the feature: boots u1 failed"),
        ([TROUBLE, PASSED], UNTESTABLE, "domu-boot.g5.kvm-pr.own: "),
        ([LEFT_OUT], STOP, "no cell applies here"),
    ],
)
def test_results_make_an_exit_code(results: list[Result], code: int, why: str) -> None:
    judgement = judge(results)
    assert judgement.code == code
    assert why in judgement.why


ANY = st.lists(st.sampled_from([PASSED, FAILED, HANGS, UNREACHED, TROUBLE, LEFT_OUT]), min_size=1, max_size=6)


@given(results=ANY)
def test_good_is_only_what_passed_and_bad_only_what_failed_itself(results: list[Result]) -> None:
    code = judge(results).code
    assert code in (GOOD, BAD, UNTESTABLE, STOP)
    assert (code == BAD) == any(result in (FAILED, HANGS) for result in results)
    assert (code == GOOD) == (PASSED in results and all(result in (PASSED, LEFT_OUT) for result in results))


@given(results=ANY, seed=st.randoms())
def test_the_order_of_cells_does_not_matter(results: list[Result], seed: object) -> None:
    shuffled = list(results)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert judge(results).code == judge(shuffled).code


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--kernel", "{text}"], UNTESTABLE, "a text file, not an ELF file"),
        (["--kernel", "{little}"], UNTESTABLE, "little-endian ELF"),
        (["--kernel", "./missing/vmlinux"], UNTESTABLE, "cannot read the kernel"),
        (["--kernel", "fixde"], STOP, "no kernel 'fixde'"),
        (["--no-such-option"], STOP, "exit code 2"),
        (["--baseline", "main"], STOP, "--baseline makes no sense beside --bisect"),
        (["--shard", "1/2"], STOP, "--shard makes no sense beside --bisect"),
        (["--dom0", "./d"], STOP, "--dom0: dom0's kernel is kvm-pr itself"),
    ],
)
def test_a_mistake_is_never_bad(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))
    text, little = tmp_path / "text", tmp_path / "little"
    text.write_text("make: *** [vmlinux] Error 2\n")
    little.write_bytes(make_elf(order="<"))
    given_words = [word.format(text=text, little=little) for word in words]
    assert main(["run", "dom0-boot", "-p", "g5", "--bisect", *given_words]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("error", "code"), [(InfraError("no space"), UNTESTABLE), (ValueError("ours"), STOP)])
def test_trouble_of_ours_is_never_bad(error: Exception, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("harness.commands.run._execute", broken)
    assert main(["run", "dom0-boot", "-p", "g5", "-k", "fixed", "--bisect"]) == code


def _git(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# A stand-in for a run, whose exit code is that of `judge`, which the tests above have of real commands.
STAND_IN = """\
import sys
from pathlib import Path
from harness.bisect import guarded, judge, BadImage
from tests.unit.harness import test_bisect as made

def act():
    kind = Path("kernel").read_text().strip()
    if kind == "does not build":
        raise BadImage("cannot read the kernel ./vmlinux")
    return judge([getattr(made, kind)])

sys.exit(guarded(act))
"""


@pytest.mark.parametrize("broken", range(2, 7))
def test_git_bisect_finds_the_first_bad_commit(broken: int, tmp_path: Path) -> None:
    """Of eight commits the one that broke it is found, among some that do not build, or do not get there."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    _git(tmp_path, "init", "-q")
    commits = []
    for number in range(8):
        kind = "PASSED" if number < broken else "FAILED"
        if number == broken - 1 and number > 1:
            kind = "does not build"
        elif number == broken + 1:
            kind = "UNREACHED"
        (tmp_path / "kernel").write_text(f"{kind}\n")
        (tmp_path / "count").write_text(str(number))
        _git(tmp_path, "add", "-A")
        _git(tmp_path, "commit", "-qm", f"commit {number}")
        commits.append(_git(tmp_path, "rev-parse", "HEAD").strip())
    _git(tmp_path, "bisect", "start", commits[7], commits[0])
    done = subprocess.run(
        ["git", "bisect", "run", sys.executable, "stand_in.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    log = _git(tmp_path, "bisect", "log")
    if broken > 2:
        # What is between the last good and the first bad could not be tested: git names both, and the first bad.
        assert f"# possible first bad commit: [{commits[broken]}]" in log
        assert commits[broken - 1] in log
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{commits[broken]} is the first bad commit" in done.stdout
    assert f"bad: [{commits[0]}]" not in log


def test_git_bisect_stops_when_a_run_says_so(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    for number in range(4):
        _git(tmp_path, "commit", "-q", "--allow-empty", "-m", str(number))
    _git(tmp_path, "bisect", "start", "HEAD", "HEAD~3")
    command = [sys.executable, "-m", "harness", "run", "dom0-bot", "--bisect"]
    done = subprocess.run(
        ["git", "bisect", "run", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "exit code 128" in done.stdout + done.stderr
    assert "no scenario 'dom0-bot'; did you mean 'dom0-boot'?" in done.stdout + done.stderr
