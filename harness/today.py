"""What today's plan would use for each cell, as far as that is known without building anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from base.yamlmodel import Model
from harness.plan import Choice, PlannedCell, plan
from harness.qemus import known_qemus
from harness.scenario import load_scenarios
from images.api import new_plan
from results.inputs import Today, content_digest


def todays_inputs() -> Today:
    """Return today's inputs of all cells of the project's scenarios, on every firmware and QEMU.

    Of images only those count that the cache has: what is not there is not what a run would be compared with.
    Raises YamlError, UsageError.
    """
    scenarios = load_scenarios()
    cells = plan(scenarios.values(), Choice())
    for name in sorted({name for cell in cells for name in cell.platform.firmware}):
        cells += plan(scenarios.values(), Choice(firmware=name))
    for name in known_qemus():
        cells += plan(scenarios.values(), Choice(qemu=name))
    images = new_plan()

    @cache
    def digest(image: str) -> str:
        artifact = images.find(image)
        return artifact.digest if artifact else ""

    contents: dict[int, str] = {}

    def content(model: Model) -> str:
        # By identity: the same few models are in all the cells, and hashing one takes longer than all the rest.
        if id(model) not in contents:
            contents[id(model)] = content_digest(model.model_dump(mode="json", by_alias=True))
        return contents[id(model)]

    return Today({cell.id().id: _inputs(cell, digest, content) for cell in cells})


def _inputs(cell: PlannedCell, digest: Callable[[str], str], content: Callable[[Model], str]) -> dict[str, str]:
    used = {part: digest(source) for part, source in cell.sources.items() if isinstance(source, str)}
    images = {
        **{f"{part}.image": value for part, value in used.items()},
        "qemu.image": digest(cell.qemu_image),
        "loader.image": digest(cell.loader) if cell.loader else "",
    }
    return {
        **{name: value for name, value in images.items() if value},
        "scenario": content(cell.scenario),
        "platform": content(cell.platform),
        "hypervisor": content(cell.hypervisor),
        "firmware": cell.firmware,
        "append": cell.choice.append,
    }
