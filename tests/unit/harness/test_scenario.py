"""Scenario files: what is wrong is told where it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from base.errors import UsageError
from base.yamlmodel import YamlError, parse
from harness.hypervisor import load_hypervisors
from harness.scenario import FOLDER, find_scenario, load_scenario, load_scenarios
from harness.schema import scenario_schema
from harness.verbs import verbs

HEAD = "feature: domu-boot\nsummary: s\ndomus: [u1]\nsteps:\n"


def _load(folder: Path, steps: str, head: str = HEAD) -> None:
    path = folder / "mine.yaml"
    path.write_text(head + steps)
    load_scenario(path)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("  - boots-dom0\n", "mine.yaml:5:5: unknown verb 'boots-dom0'; did you mean 'boot-dom0'?"),
        ("  - craete: u1\n", "mine.yaml:5:5: unknown verb 'craete'; did you mean 'create'?"),
        ("  - create: {domain: u1, memroy: 256}\n", "mine.yaml:5:26: unknown key 'memroy'; did you mean 'memory'?"),
        ("  - create: {domain: u1, memory: lots}\n", "mine.yaml:5:26: memory: "),
        ("  - create: {domain: u1, vcpus: 0}\n", "mine.yaml:5:26: vcpus: "),
        ("  - create\n", "mine.yaml:5:5: key 'domain' is missing"),
        ("  - create: u2\n", "mine.yaml:5:5: no domain 'u2'; known: dom0, u1 (name it under `domus:`)"),
        ("  - run: {domain: dom0, command: ls, prints: '('}\n", "mine.yaml:5:38: not a regular expression"),
        ("  - run: ls\n", "mine.yaml:5:5: verb 'run' takes its parameters by name"),
        ("  - [create, u1]\n", "mine.yaml:5:5: a step is one verb"),
        ("  - create: u1\n    boots: u1\n", "mine.yaml:5:5: a step is one verb"),
        ("  - dialogue: {domain: dom0, lines: [{send: a, expect: b}]}\n", "a turn is either `send` or `expect`"),
    ],
)
def test_a_bad_step_is_told_with_its_place(steps: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(YamlError) as caught:
        _load(tmp_path, steps)
    assert problem in str(caught.value)


def test_all_bad_steps_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(YamlError) as caught:
        _load(tmp_path, "  - nonsense\n  - create: u9\n  - run: {domain: dom0}\n")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("feature: x\nsummary: s\nsetps: []\n", ":3:1: unknown key 'setps'; did you mean 'steps'?"),
        ("feature: x\nsummary: s\nsteps: []\n", ":3:1: steps: "),
        ("feature: My Feature\nsummary: s\nsteps: [boot-dom0]\n", ":1:1: feature: "),
        ("feature: [x]\nsummary: s\nsteps: [boot-dom0]\n", ":1:1: feature: "),
        ("- boot-dom0\n", ":1:1: a scenario is a mapping"),
    ],
)
def test_a_bad_head_is_told_with_its_place(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(YamlError) as caught:
        _load(tmp_path, "", head=text)
    assert problem in str(caught.value)


def test_a_name_that_no_folder_should_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "My Scenario.yaml"
    path.write_text("feature: x\nsummary: s\nsteps: [boot-dom0]\n")
    with pytest.raises(UsageError, match="small letters"):
        load_scenario(path)


def test_a_missing_scenario_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no scenario file \./none\.yaml"):
        find_scenario("./none.yaml")
    with pytest.raises(UsageError, match="did you mean 'domu-boot'"):
        find_scenario("domuboot")


def test_every_scenario_loads_and_every_verb_has_a_summary() -> None:
    assert {"dom0-boot", "domu-boot"} <= set(load_scenarios())
    assert all(verb.summary.endswith(".") for verb in verbs().values())
    assert sorted(load_scenarios()) == sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_the_editors_schema_is_that_of_the_models() -> None:
    """Renew it with `python -m harness.schema > scenarios/schema.json`."""
    assert json.loads((FOLDER / "schema.json").read_text()) == scenario_schema()


def _words(value: object) -> set[str]:
    if isinstance(value, dict):
        return _words([*value, *value.values()])
    if isinstance(value, list):
        return set[str]().union(*map(_words, value))
    return set(re.split(r"[^a-z0-9-]+", str(value).lower()))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_scenario_names_a_hypervisor_or_a_toolstack(path: Path) -> None:
    data = parse(path).data
    assert isinstance(data, dict)
    told = {key: value for key, value in data.items() if key not in ("needs", "summary")}
    # That of QEMU is the simulator's as well, and stands in the device trees that it makes.
    names = {*load_hypervisors(), "kvm", "xl", "virsh", "libvirt"}
    assert not _words(told) & names
