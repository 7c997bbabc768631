"""Warm starts on the real hypervisor: made once, used where all is the same, and found out when they are broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec
from harness.worker import run_cell
from results.journal import JOURNAL, read_journal
from results.model import Result
from sim.templates import TemplateStore

Make = Callable[..., RunSpec]
DRAWS = "  - run: {domain: dom0, command: head -c 8 /dev/urandom | od -An -tx8}\n"
LIVES = "prepare: [boot-dom0]\nsteps:\n  - answers: dom0\n" + DRAWS + "  - run: {domain: dom0, command: date +%s}\n"


def _run(spec: RunSpec, directory: Path) -> Result:
    directory.mkdir()
    return run_cell(spec, directory)


@pytest.mark.parametrize("platform", ["g5", "pseries-970"])
def test_the_second_cell_starts_where_the_first_was(
    platform: str, spec_for: Make, store: TemplateStore, tmp_path: Path
) -> None:
    spec = spec_for(LIVES, platform=platform, templates="make")
    results = [_run(spec, tmp_path / f"cell{number}") for number in range(3)]
    assert [str(result.status) for result in results] == ["yes"] * 3
    (template,) = store.all()
    assert template.unusable == ""
    assert [result.facts["start"] for result in results] == ["cold", *[f"template {template.name}"] * 2]
    # The logs of a clone begin with what the template's consoles showed.
    assert b"Linux version" in (tmp_path / "cell1/console/dom0.log").read_bytes()
    drawn = {result.steps[2].message for result in results}
    assert len(drawn) == 3, "clones drew the same random numbers"
    clocks = [int(result.steps[3].message) + 1 for result in results]  # its second was cut off
    assert all(
        0 <= clock - result.started.timestamp() < 60 for clock, result in zip(clocks[1:], results[1:], strict=True)
    )


def test_a_template_that_was_damaged_is_our_trouble_and_goes(
    spec_for: Make, store: TemplateStore, tmp_path: Path
) -> None:
    spec = spec_for(LIVES, templates="make")
    _run(spec, tmp_path / "cell0")
    (template,) = store.all()
    os.truncate(store.folder(template) / "state", 1000)
    broken = _run(spec, tmp_path / "cell1")
    assert (broken.raw, broken.status) == ("infra", "untested")
    assert f"template {template.name} could not be resumed and was removed" in broken.message
    again = _run(spec, tmp_path / "cell2")
    assert (again.facts["start"], again.status) == ("cold", "yes")


def test_another_kernel_argument_is_another_machine(spec_for: Make, store: TemplateStore, tmp_path: Path) -> None:
    _run(spec_for(LIVES, templates="make"), tmp_path / "cell0")
    other = _run(spec_for(LIVES, templates="use", append="quiet"), tmp_path / "cell1")
    assert (other.facts["start"], other.status) == ("cold", "yes")
    journal = (tmp_path / "cell1" / JOURNAL).read_text()
    assert "another was made by append" in journal
    assert read_journal(tmp_path / "cell1")
    assert len(store.all()) == 1


def test_a_machine_that_does_not_answer_when_it_is_resumed_is_not_used(
    spec_for: Make, store: TemplateStore, tmp_path: Path
) -> None:
    """A dom0 whose `renew` ends it: what is tried beside it fails, the cell itself goes on."""
    trick = 'cd /usr/sbin && rm renew && printf "#!/bin/sh\\nreboot -f\\n" >renew && chmod 755 renew'
    steps = f"prepare:\n  - boot-dom0\n  - run: {{domain: dom0, command: '{trick}'}}\nsteps: [answers: dom0]\n"
    result = _run(spec_for(steps, templates="make"), tmp_path / "cell0")
    assert result.status == "yes"
    unusable = {template.unusable for template in store.all()} - {""}
    assert len(unusable) == 1
    assert "switched off or reset" in unusable.pop()
    again = _run(spec_for(steps, templates="make"), tmp_path / "cell1")
    assert again.status == "yes"
    assert "switched off or reset" in str(again.facts["template.unusable"])
