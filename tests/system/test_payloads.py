"""The 970's hypervisor mode: each payload is green on the machine that has it, and red where its part is broken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import images
from base.paths import PROJECT
from harness.qemus import image_version
from harness.resolve import qemu_binary
from harness.runspec import RunSpec
from harness.scenario import find_scenario, load_scenario
from harness.tap import PLAN, Results, read_results
from harness.worker import run_cell
from results.model import Result
from sim.deadline import Budget
from sim.machine import Machine
from sim.platform import Platform, find_platform
from sim.spec import MachineSpec

Make = Callable[..., RunSpec]
PAYLOAD = {"platform": "maple", "hypervisor": "payload", "kernel": "built", "templates": "none"}
MUTANTS = yaml.safe_load((PROJECT / "tests/mutants/qemu-970hv.yaml").read_text())
STEPS = {step.params["name"]: step for step in load_scenario(find_scenario("hypervisor-mode")).steps}
# Of a machine without that mode a payload may wait for ever for what it claims (s of a calm host).
PATIENCE = 15


def _run(spec: RunSpec, tmp_path: Path) -> Result:
    directory = tmp_path / "cell"
    directory.mkdir()
    return run_cell(spec, directory)


def _step(name: str, within: int = 60) -> str:
    params = {key: value for key, value in STEPS[name].params.items() if key != "within"}
    return yaml.safe_dump({"steps": [{"payload-passes": {**params, "within": within}}]})


def test_every_payload_is_in_the_scenario_and_has_a_mutant() -> None:
    built = {path.stem for path in (PROJECT / "tests/payloads/claims").glob("*.c")}
    assert built == set(STEPS) == set(MUTANTS)


@pytest.mark.parametrize("name", STEPS)
def test_it_is_green_where_the_mode_is(name: str, spec_for: Make, tmp_path: Path) -> None:
    result = _run(spec_for(_step(name), **PAYLOAD), tmp_path)
    assert (result.raw, result.status) == ("pass", "yes"), result.message


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_red_where_its_part_is_broken(name: str, spec_for: Make, tmp_path: Path) -> None:
    mutants = images.ensure(["mutants-970hv"])["mutants-970hv"]
    qemu = mutants.file(f"{name}/usr/bin/qemu-system-ppc64")
    result = _run(spec_for(_step(name, PATIENCE), qemu=str(qemu), **PAYLOAD), tmp_path)
    # It says what does not hold, or is lost on the way: QEMU gives up, or the payload never comes to its end.
    assert result.status == "no", result.message
    assert result.raw in ("fail", "timeout"), result.message


@pytest.mark.parametrize("guest", ["payload", "payload-linux"])
def test_the_payload_hypervisor_runs_two_guests_to_their_end(guest: str, spec_for: Make, tmp_path: Path) -> None:
    steps = "steps: [hypervisor-starts, same-hypervisor, hypervisor-goes-on]\n"
    result = _run(spec_for(steps, **{**PAYLOAD, "hypervisor": guest}), tmp_path)
    assert (result.raw, result.status) == ("pass", "yes"), result.message
    shown = (tmp_path / "cell/console/dom0.log").read_text(errors="replace")
    assert re.search(r"(?m)^2: five\r?$", shown)


def test_it_is_not_there_on_a_970_as_apple_strapped_it(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(_step("at-reset", PATIENCE), **PAYLOAD)
    platform = spec.platform.model_copy(update={"cpu": "970fx,hypervisor=off"})
    result = _run(spec.model_copy(update={"platform": platform}), tmp_path)
    assert result.status == "no"


async def _claims(platform: Platform, payload: str, folder: Path) -> Results:
    """Return what a payload claims on a platform's machine with Debian's own QEMU."""
    artifacts = images.ensure(["qemu-10.0", "payloads-970"])
    artifact = artifacts["qemu-10.0"]
    spec = MachineSpec(
        platform=platform,
        qemu=qemu_binary(artifact, image_version(artifact)),
        firmware=platform.default_firmware,
        kernel=artifacts["payloads-970"].file(payload),
        entry="none",
        random=False,
    )
    async with Machine(spec, folder) as machine:
        machine.may_stop = True
        budget = Budget.of(60, factor=1.0)
        await machine.wait("the payload has ended", machine.console.expect(re.compile(PLAN.encode())), budget)
        shown = machine.console.log_path.read_text(errors="replace")
    found = re.search(PLAN, shown)
    assert found
    return read_results(shown, int(found[1]))


def test_stock_qemu_has_no_such_970(tmp_path: Path) -> None:
    results = asyncio.run(_claims(find_platform("g5"), "at-reset", tmp_path))
    assert results.failed[0].startswith("1: MSR[HV] is set when firmware enters us")
    # What holds is what has nothing to do with the mode.
    assert "and this is no problem state" not in " ".join(results.failed)


@pytest.mark.parametrize("payload", ["states", "no-gain", "hdec", "hypercall"])
def test_what_the_architecture_says_of_both_holds_on_a_power8(payload: str, tmp_path: Path) -> None:
    power8 = find_platform("powernv10").model_copy(update={"machine": "powernv8", "cpu": "POWER8"})
    results = asyncio.run(_claims(power8, f"powernv-{payload}", tmp_path))
    assert not results.failed
    assert not results.missing
