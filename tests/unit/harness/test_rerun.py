"""The command that a page gives for a cell runs exactly that cell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.commands.run import parser
from harness.plan import Choice, PlannedCell, plan
from harness.scenario import find_scenario, load_heads, load_scenario
from results.page.rerun import Image, SpecView, rerun

HEADS = list(load_heads().values())


def planned(command: str) -> list[PlannedCell]:
    """Return the cells that a command line would run, as `testbed run` finds them."""
    words = [word for word in shlex.split(command) if not word.startswith("TESTBED_FACTOR=")]
    assert words[:2] == ["./testbed", "run"]
    options = parser().parse_args(words[2:])
    (platform,) = options.platform
    choice = Choice(platform, options.hypervisor, options.kernel, options.firmware, options.append, qemu=options.qemu)
    return plan([load_scenario(find_scenario(name)) for name in options.scenario], choice)


@pytest.mark.parametrize("choice", [Choice(), Choice(firmware="vof"), Choice(qemu="7.2"), Choice(qemu="10.0")])
def test_every_planned_cell_has_a_command_that_runs_it_and_no_other(choice: Choice) -> None:
    cells = plan(HEADS, choice)
    assert len(cells) > 20
    for cell in cells:
        (found,) = planned(rerun(cell.id(), None).command)
        assert found.id() == cell.id()


def test_what_the_user_brought_is_named() -> None:
    (cell, *_) = plan(HEADS, Choice("g5"))
    own = cell.id().model_copy(update={"kernel": "own"})
    spec = SpecView(kernel=Image(path="/home/me/my kernel", sha256="ab" * 32), append="-x y", factor=2.5)
    again = rerun(own, spec)
    assert again.command.startswith("TESTBED_FACTOR=2.5 ./testbed run ")
    options = parser().parse_args(shlex.split(again.command)[3:])
    assert (options.kernel, options.append) == ("/home/me/my kernel", "-x y")
    assert again.needs == f"the kernel with SHA-256 {'ab' * 32}"
    assert Path(options.kernel).name == "my kernel"
