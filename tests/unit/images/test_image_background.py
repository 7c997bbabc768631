"""Images that are made while other work goes on."""

from __future__ import annotations

import pytest

from images.background import Building
from images.errors import BuildError
from tests.unit.images.fake_project import Project

GATED = "build: {{shell: 'until [ -e {gate} ]; do sleep 0.01; done; echo done >$OUT/file'}}\n"
QUICK = "build: {shell: 'echo done >$OUT/file'}\n"


def test_what_is_ready_is_had_while_the_rest_is_still_made(project: Project) -> None:
    gate = project.root / "gate"
    project.recipe("quick", QUICK)
    project.recipe("slow", GATED.format(gate=gate))
    seen: list[str] = []
    with Building(
        ["slow", "quick"], project.events.append, plan=project.plan(), ready=lambda a: seen.append(a.name)
    ) as b:
        b.wait(["quick"])
        assert (seen, b.over) == (["quick"], False)
        gate.touch()
        b.wait(["slow", "quick"])
        b.wait_all()
        assert b.over
    assert sorted(seen) == ["quick", "slow"]


def test_a_failed_image_stops_only_what_needs_it(project: Project) -> None:
    project.recipe("bad", "build: {shell: 'echo broken; exit 7'}\n")
    project.recipe("user", f"inputs: [{{image: bad}}]\n{QUICK}")
    project.recipe("later", f"after: [bad]\n{QUICK}")
    with Building(["user", "later"], project.events.append, plan=project.plan()) as building:
        building.wait(["later"])
        with pytest.raises(BuildError, match=r"'user' needs image 'bad', and that failed.*exit code 7"):
            building.wait(["later", "user"])
    assert [event.task for event in project.events if event.state == "failed"] == ["image bad", "image user"]


def test_leaving_the_block_stops_what_is_being_made(project: Project) -> None:
    project.recipe("slow", "build: {shell: 'touch $HOME/../../started; sleep 60'}\n")
    with Building(["slow"], project.events.append, plan=project.plan()) as building:
        pass
    with pytest.raises(BuildError, match="'slow' was not made"):
        building.wait(["slow"])
