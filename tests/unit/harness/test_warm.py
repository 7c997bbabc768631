"""Which cells may start warm, and what makes one template another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.fingerprint import code_digest, inputs, label, with_helpers
from harness.frozen import CannotBeKept, freeze
from harness.plan import Choice, plan
from harness.runspec import RunSpec
from harness.scenario import load_scenarios
from harness.warm import CELL, CODE, lost_domus, points
from sim import templates

Make = Callable[..., RunSpec]
ABOUT_BOOTING = {"hypervisor-boot", "hypervisor-mode", "dom0-boot", "domu-boot", "grub", "screen", "record-replay"}
ABOUT_BOOTING |= {"same-seed"}
PREPARED = "prepare:\n  - boot-dom0\n  - create: u1\n  - boots: u1\nsteps: [answers: u1]\n"


def test_a_preparation_is_worth_a_template_when_dom0_is_up_and_when_all_is(make_fake_cell: Make) -> None:
    assert points(make_fake_cell(PREPARED).scenario.prepare) == (1, 3)
    assert points(make_fake_cell("prepare: [boot-dom0]\nsteps: [answers: dom0]\n").scenario.prepare) == (1,)
    assert points(make_fake_cell("steps: [boot-dom0]\n").scenario.prepare) == ()


def test_boot_rows_are_measured_cold() -> None:
    """What is about booting, or about machines whose clocks must be as they are, starts from no template."""
    cells = plan(load_scenarios().values(), Choice())
    warm = {cell.scenario.name: cell.templates for cell in cells}
    boots = {cell.scenario.name for cell in cells if cell.scenario.feature in ABOUT_BOOTING}
    assert boots >= {"hypervisor-boot", "dom0-boot", "dom0-reboot", "domu-boot", "domu-ends", "domu-many", "grub"}
    hosts = {cell.scenario.name for cell in cells if len(cell.scenario.hosts) > 1}
    assert {name for name, wish in warm.items() if wish == "none"} == boots | hosts


def test_cold_is_cold() -> None:
    cells = plan(load_scenarios().values(), Choice(templates="none"))
    assert {cell.templates for cell in cells} == {"none"}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"append": "quiet"}, {"append"}),
        ({"firmware": "vof"}, {"firmware"}),
        ({"kernel": {"name": "k", "digest": "1" * 64}}, {"kernel"}),
        ({"initrd": {"name": "k", "digest": "1" * 64}}, {"initrd"}),
        ({"qemu": {"name": "k", "digest": "1" * 64}}, {"qemu"}),
        ({"factor": 3.0, "seed": 7, "run": "another"}, set()),
    ],
)
def test_a_fingerprint_is_of_what_makes_the_state(
    change: dict[str, object], differs: set[str], make_fake_cell: Make
) -> None:
    spec = make_fake_cell(PREPARED)
    other = RunSpec.model_validate({**spec.model_dump(by_alias=True), **change})
    for done in (1, 3):
        first, second = inputs(spec, done), inputs(other, done)
        assert {name for name in first if first[name] != second[name]} == differs


def test_dom0_alone_is_the_same_for_other_domus(make_fake_cell: Make) -> None:
    spec = make_fake_cell(PREPARED)
    scenario = spec.scenario.model_copy(update={"domus": ("u2", "u3")})
    other = spec.model_copy(update={"scenario": scenario})
    assert templates.fingerprint(inputs(spec, 1)) == templates.fingerprint(inputs(other, 1))
    assert inputs(spec, 3)["domains"] != inputs(other, 3)["domains"]


@pytest.mark.parametrize(
    ("tried", "lost"),
    [
        ([], False),
        ([("1", 1, "u1 is silent")], False),
        ([("1", 1, "u1 is silent"), ("2", 2, "u1 is silent")], True),
        ([("1", 1, "u1 is silent"), ("2", 0, "dom0 is silent")], False),
        ([("1", 1, "u1 is silent"), ("2", 1, "u1 is silent"), ("3", 1, "")], False),
    ],
)
def test_domus_that_were_lost_twice_and_never_kept_are_not_tried_again(
    tried: list[tuple[str, int, str]], lost: bool, make_fake_cell: Make
) -> None:
    spec = make_fake_cell(PREPARED)
    made = [
        templates.Template(
            label="t",
            inputs={**inputs(spec, 3), "steps": steps},
            made=datetime(2026, 11, 29, tzinfo=UTC),
            unusable=unusable,
            kept={CELL: {"domains": ["u"] * domus}, CODE: code_digest(())},
        )
        for steps, domus, unusable in tried
    ]
    assert lost_domus(spec, made) == ([template.name for template in made] if lost else [])
    other = spec.model_copy(update={"append": "quiet"})
    assert lost_domus(other, made) == [], "another machine's"
    older = [template.model_copy(update={"kept": {**template.kept, CODE: "older"}}) for template in made]
    assert lost_domus(spec, older) == [], "with other code of ours it may be that they are kept"


def test_a_label_tells_what_was_done(make_fake_cell: Make) -> None:
    assert label(make_fake_cell(PREPARED), 3) == "pseries-970, kvm-pr (stock): boot-dom0, create u1, boots u1"


def test_code_that_a_verb_takes_from_another_module_counts_too() -> None:
    assert with_helpers(["harness.steps.work"]) >= {
        "harness.steps.networks",
        "harness.steps.disks",
        "harness.steps.domains",
    }
    assert with_helpers(["harness.steps.power"]) == {"harness.steps.power", "harness.steps.answering"}


class _Cell:
    """So much of a cell as freezing looks at."""

    def __init__(self, notes: dict[str, object]) -> None:
        self.notes = notes
        self.domains: dict[str, object] = {}
        self.disks: dict[str, object] = {}
        self.free = ("slot1",)

    def host(self, _: str) -> _Cell:
        return self


def test_a_note_that_is_no_json_is_not_kept(tmp_path: Path) -> None:
    assert freeze(_Cell({"a": 1}), {}).free == ("slot1",)  # type: ignore[arg-type]
    with pytest.raises(CannotBeKept, match="a step's note"):
        freeze(_Cell({"a": tmp_path}), {})  # type: ignore[arg-type]
