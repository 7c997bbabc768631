"""`lint` and the scaffolds."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import UsageError
from harness.commands.lint import main
from harness.commands.new import scenario
from harness.lint import files, lint
from harness.scaffold import new_platform, new_scenario


def test_all_files_of_the_project_are_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "nothing wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("feature: a\nsummary: b\nsteps:\n  - bot-dom0\n", ":4:5: unknown verb 'bot-dom0'; did you mean 'boot-dom0'?"),
        ("feature: a\nsummary: b\nsteps:\n  - boot-dom0\n  - run: {domain: dom0, comand: x}\n", ":5:25: unknown key"),
        ("feature: a\nsummary: b\nneeds: [warp]\nsteps: [boot-dom0]\n", "no hypervisor offers 'warp'"),
        ("name: x\nconsoles: {log: a}\n", ":1:1: key 'title' is missing"),
        ("name: x\nkernels: {}\n", "key 'title' is missing"),
        ("a: [1\n", ":2:1: "),
        ("a: 1\n", ":1:1: no file of the test bed"),
    ],
)
def test_mistakes_are_told_by_line_and_column(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert any(said in problem for problem in lint([path])), lint([path])
    assert main([str(path)]) == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        files([str(tmp_path / "none.yaml")])


@pytest.mark.parametrize("domu", [False, True])
def test_a_new_scenario_is_well_as_it_is(tmp_path: Path, *, domu: bool) -> None:
    path = tmp_path / "mine.yaml"
    new_scenario(path, "schema.json", feature="mine", domu=domu)
    assert lint([path]) == []
    with pytest.raises(UsageError, match="there already"):
        new_scenario(path, "schema.json", feature="mine", domu=domu)


def test_a_new_scenario_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scenario([str(tmp_path / "disk-again.yaml")]) == 0
    said = capsys.readouterr().out
    assert "./testbed lint" in said
    assert "perhaps of use: " in said


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no scenario's name"):
        new_scenario(tmp_path / "A b.yaml", "s", feature="a", domu=False)
    with pytest.raises(UsageError, match="no platform 'none'"):
        new_platform("mine", "none", tmp_path)


def test_a_new_platform_is_well_as_it_is(tmp_path: Path) -> None:
    path = new_platform("mine", "g5", tmp_path)
    assert lint([path]) == []
    assert "title: mine, made from Apple" in path.read_text()
