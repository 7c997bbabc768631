from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from results.cli import main
from results.features import load_features
from results.matrix import aggregate, build_matrix, to_json
from results.model import Status
from results.render import markdown, print_table
from results.store import Stored, create_run
from tests.unit.results.builders import execute, stored

SEED = {
    "dom0-boot": "yes",
    "domu-boot": "yes",
    "management-tools": "yes",
    "virtual-disk": "yes",
    "virtual-network": "yes",
    "smp-hypervisor": "yes",
    "smp-guest": "yes",
    "save-restore": "close",
    "memory-ballooning": "no",
    "live-migration": "no",
}


def table(results: list[Stored], width: int = 160, colour: bool = False) -> str:
    stream = StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    print_table(build_matrix(results), console, ["a note"])
    return stream.getvalue()


def test_the_rows_are_the_seeds_with_what_it_said() -> None:
    assert {feature.name: feature.reference for feature in load_features().features[1:11]} == SEED
    assert load_features().names()[:11] == ["hypervisor-boot", *SEED]


@pytest.mark.parametrize(
    ("statuses", "together"),
    [
        ("", "untested"),
        ("yes", "yes"),
        ("yes yes", "yes"),
        ("no no", "no"),
        ("yes no", "close"),
        ("close yes", "close"),
        ("close", "close"),
        ("yes untested", "yes"),
        ("no untested n/a", "no"),
        ("untested", "untested"),
        ("n/a", "n/a"),
        ("n/a untested", "untested"),
    ],
)
def test_aggregation(statuses: str, together: str) -> None:
    assert aggregate(Status(word) for word in statuses.split()) == together


@given(st.lists(st.tuples(st.text("pftis", max_size=3), st.text("pftis", max_size=3)), max_size=5))
def test_a_cell_is_never_yes_if_a_step_of_the_feature_failed(cells: list[tuple[str, str]]) -> None:
    results = [stored(f"{one}|{two}", scenario=f"s{number}") for number, (one, two) in enumerate(cells)]
    matrix = build_matrix(results)
    state = matrix.cell("domu-boot", matrix.columns[0]).status if matrix.columns else Status.UNTESTED
    if any("f" in two and "i" not in one + two and "s" not in one + two for one, two in cells):
        assert state is not Status.YES
    if state is Status.YES:
        assert any(set(one + two) == {"p"} for one, two in cells)


def test_columns_are_platform_hypervisor_kernel_and_own_features_follow() -> None:
    matrix = build_matrix(
        [stored("p|p", kernel="fixed"), stored("p|f"), stored("p|p", feature="soak", scenario="soak-domu")]
    )
    assert [column.kernel for column in matrix.columns] == ["fixed", "stock"]
    names = [feature.name for feature in matrix.features]
    assert names[1:11] == list(SEED)
    assert names[-1] == "soak"


@pytest.mark.parametrize("results", [[], [stored("p|pf")]])
def test_all_ten_rows_are_shown_whatever_ran(results: list[Stored]) -> None:
    shown = table(results)
    assert all(feature.title in shown for feature in load_features().features)
    assert all(feature.title in markdown(build_matrix(results)) for feature in load_features().features)
    assert "simulated" in shown
    assert "XenPPC" in shown
    assert "a note" in shown


def test_the_table_says_in_words_what_colours_say() -> None:
    results = [stored("p|p"), stored("p|pf", kernel="fixed"), stored("p|i", scenario="other")]
    plain = table(results)
    assert "\x1b" not in plain
    assert "\x1b" in table(results, colour=True)
    assert "yes (1 of 2 ran)" in plain
    assert "close domu-boot.g5.kvm-pr.fixed (fail): step 3, verb2: fail" in plain
    assert "/nowhere" in plain
    assert "2026-11-22 23:15 UTC, from run 20261122T231500Z-abcdef" in plain


def test_text_of_others_is_not_markup() -> None:
    one = stored("p|f")
    loud = one.result.model_copy(update={"message": "[bold]x|y[/] *z*\nnext"})
    matrix = [Stored(loud, Path("/nowhere"))]
    assert "[bold]x|y[/] *z* next" in table(matrix)
    assert r"\[bold\]x\|y\[/\] \*z\* next" in markdown(build_matrix(matrix))


def test_json_keeps_the_contract() -> None:
    data = to_json(build_matrix([stored("p|pf", qemu="10.0.13")]))
    assert data["schema"] == 1
    (one,) = json.loads(json.dumps(data))["cells"]
    contract = "feature scenario platform hypervisor kernel qemu firmware status verdict run evidence"
    assert set(contract.split()) <= set(one)
    assert (one["feature"], one["status"], one["verdict"], one["qemu"]) == ("domu-boot", "close", "fail", "10.0.13")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("form", ["table", "json", "md"])
def test_the_command_prints_all_formats(root: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["--format", form]) == 0
    execute(create_run([], root=root), "p|pf")
    assert main(["--format", form, "--run", "last"]) == 0
    printed = capsys.readouterr().out
    assert "domu-boot" in printed
    assert "close" in printed


def test_an_unknown_run_is_a_mistake_of_the_user(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute(create_run([], root=root), "p|p")
    assert main(["--run", "1999"]) == 2
    assert "no run '1999'" in capsys.readouterr().err
