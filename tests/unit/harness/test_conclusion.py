"""How a run ends: exit code and summary, alone and against a baseline; and which cells are a shard's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from base.errors import UsageError
from harness.conclusion import Conclusion
from harness.plan import Choice, plan
from harness.scenario import load_heads
from harness.sharding import take_shard
from harness.today import todays_inputs
from results.baselines import find_baseline
from results.compare import Outcome, Side
from results.inputs import content_digest
from results.model import Status, Verdict
from results.shards import Shard
from results.sides import side_of_run
from results.store import Run, create_run, results_of
from tests.unit.results.builders import execute, spec


def run_of(root: Path, *cells: str, kernel: str = "k1") -> Run:
    """A run of cells, each `scenario:letters`."""
    run = create_run([], root=root)
    for word in cells:
        name, _, letters = word.partition(":")
        execute(run, letters, scenario=name, inputs=spec(kernel))
    return run


def conclude(root: Path, before: list[str], after: list[str], kernel: str = "k2") -> Conclusion:
    baseline = side_of_run(run_of(root, *before), "main")
    run = run_of(root, *after, kernel=kernel)
    return Conclusion.of(run, results_of(run), baseline)


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (["a:p|p"], ["a:p|p"], 0),
        (["a:p|p"], ["a:p|f"], 1),
        (["a:p|f"], ["a:p|f"], 0),
        (["a:p|f"], ["a:p|p"], 0),
        (["a:p|f"], ["a:p|f", "b:p|f"], 1),
        (["a:p|f"], ["a:p|f", "b:p|p"], 0),
        (["a:p|p", "b:p|p"], ["a:p|p"], 0),
        (["a:p|p"], ["a:p|i"], 3),
        (["a:p|p", "b:p|p"], ["a:p|i", "b:p|f"], 1),
    ],
)
def test_only_new_failures_are_red(tmp_path: Path, before: list[str], after: list[str], code: int) -> None:
    assert conclude(tmp_path, before, after).exit_code == code


def test_a_flake_is_told_but_not_red(tmp_path: Path) -> None:
    flaky = conclude(tmp_path, ["a:p|p"], ["a:p|f"], kernel="k1")
    assert flaky.exit_code == 0
    assert "flaky: a.g5.kvm-pr.stock: yes -> no" in flaky.text()


def test_without_a_baseline_every_surprise_counts(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a:p|f", "b:p|p")
    conclusion = Conclusion.of(run, results_of(run), None)
    assert conclusion.exit_code == 1
    assert conclusion.text() == "2 cells in 3.5 s, 1 not as expected\n"
    assert "### 2 cells in 3.5 s, 1 not as expected" in conclusion.markdown("MATRIX")


def test_the_summary_names_what_broke_and_what_changed(tmp_path: Path) -> None:
    conclusion = conclude(tmp_path, ["a:p|p", "b:p|f", "c:p|p"], ["a:p|f", "b:p|f"])
    text = conclusion.text()
    assert "1 newly broken, 1 still broken: 1 new failure" in text
    assert "a.g5.kvm-pr.stock: yes -> no: step 2, verb1: fail" in text
    assert "kernel.image: k1 -> k2" in text
    assert "c.g5" not in text  # did not run, and was not to
    page = conclusion.markdown("MATRIX")
    assert page.index("newly broken") < page.index("MATRIX")
    assert "| `a.g5.kvm-pr.stock` | yes | no | kernel.image: k1 -\\> k2 |" in page


def test_the_baseline_s_reference_judges_a_run_of_the_port_alone(tmp_path: Path) -> None:
    pc: dict[str, Any] = {"platform": "pc-xen", "hypervisor": "xen-x86", "kernel": "4-17"}
    before = run_of(tmp_path, "a:p|p")
    execute(before, "p|p", scenario="a", inputs=spec("k1"), **pc)
    run = run_of(tmp_path, "a:p|f", kernel="k2")
    conclusion = Conclusion.of(run, results_of(run), side_of_run(before, "main"))
    assert "a.g5.kvm-pr.stock: yes -> no (port failure): step 2" in conclusion.text()
    assert "pc-xen" not in conclusion.text()


def test_a_shard_does_not_miss_the_others(tmp_path: Path) -> None:
    run = create_run([], Shard(number=1, count=2).facts(), tmp_path)
    execute(run, "p|p", inputs=spec())
    assert "shard 2 of 2 is missing" in side_of_run(run).notes
    assert Conclusion.of(run, results_of(run), Side("main", {})).text().count("missing") == 0


def test_a_run_is_saved_as_a_baseline_unless_cells_are_open(tmp_path: Path) -> None:
    bad, good = run_of(tmp_path, "a:p|i"), run_of(tmp_path, "a:p|f")
    assert "not saved" in Conclusion.of(bad, results_of(bad), None).save("main")
    assert find_baseline("main") is None
    assert "saved as baseline main" in Conclusion.of(good, results_of(good), None).save("main")
    assert find_baseline("main") == good


def test_shards_of_the_real_plan_are_the_whole() -> None:
    cells = plan(load_heads().values(), Choice())
    names = [cell.id().id for cell in cells]
    taken = [take_shard(cells, Shard(number=number, count=3), None) for number in (1, 2, 3)]
    assert sorted(cell.id().id for part, _ in taken for cell in part) == sorted(names)
    assert len({shard.plan for _, shard in taken}) == 1
    with pytest.raises(UsageError, match="has no cell"):
        take_shard(cells[:1], Shard(number=2, count=2), None)


def test_known_times_balance_shards() -> None:
    cells = plan(load_heads().values(), Choice(kernel="fixed", platform="g5"))[:4]
    names = [cell.id().id for cell in cells]

    def outcome(name: str, elapsed: float) -> Outcome:
        return Outcome(name, Verdict.PASS, Verdict.PASS, Status.YES, elapsed=elapsed)

    costs = Side("main", {name: outcome(name, 100.0 if name == names[0] else 10.0) for name in names})
    (first, _), (second, _) = (take_shard(cells, Shard(number=number, count=2), costs) for number in (1, 2))
    assert [[cell.id().id for cell in part] for part in (first, second)] == [names[:1], names[1:]]


def test_today_is_what_a_run_spec_of_today_says() -> None:
    from harness.hypervisor import find_hypervisor
    from harness.scenario import FOLDER, load_scenario
    from sim.platform import find_platform

    today = todays_inputs().cells
    one = today["domu-boot.g5.kvm-pr.fixed"]
    for name, model in (
        ("scenario", load_scenario(FOLDER / "domu-boot.yaml")),
        ("platform", find_platform("g5")),
        ("hypervisor", find_hypervisor("kvm-pr")),
    ):
        assert one[name] == content_digest(model.model_dump(mode="json", by_alias=True))
    assert one["firmware"] == "openbios"
    assert today["domu-boot.pseries-970.kvm-pr.fixed.firmware-vof"]["firmware"] == "vof"
