"""Files of the user's among a result's inputs."""

from __future__ import annotations

from typing import Any

import pytest

from results.inputs import changes
from results.store import create_run, results_of
from tests.unit.results.builders import execute, spec


def _inputs(**more: Any) -> dict[str, str]:
    run = create_run([])
    execute(run, "p|p", inputs={**spec(), **more})
    (one,) = results_of(run)
    return dict(one.inputs)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("bios", "firmware.image"),
        ("boots", "hypervisor.image"),
        ("kernel", "kernel.image"),
        ("initrd", "initrd.image"),
        ("qemu", "qemu.image"),
    ],
)
def test_another_file_is_another_input(part: str, name: str) -> None:
    one, two = (_inputs(**{part: {"path": "/f", "sha256": digest}}) for digest in ("1" * 64, "2" * 64))
    assert one[name] == "1" * 64
    assert [change.name for change in changes(one, two)] == [name]


def test_what_a_platform_takes_is_no_input() -> None:
    """Which files are refused makes no other machine: yesterday's results stay today's."""
    plain = _inputs(platform={"name": "g5", "machine": "mac99"})
    ruled = _inputs(
        platform={"name": "g5", "machine": "mac99", "images": {"class": 64}, "own-firmware": {"max-size": 1}}
    )
    assert plain["platform"] == ruled["platform"]


def test_where_a_hypervisor_was_read_is_no_input() -> None:
    here, there = (_inputs(hypervisor={"name": "x", "folder": folder}) for folder in ("/a", "/b"))
    assert here["hypervisor"] == there["hypervisor"]


def test_a_hypervisor_without_dom0_and_domu_has_no_inputs_of_theirs() -> None:
    found = _inputs(
        **{"initrd": None, "domu-identity": None, "debugger": {"gdb": {"digest": "g"}, "domu-kernel": None}}
    )
    assert not [name for name in found if name.startswith(("initrd", "domu-kernel"))]
    assert found["gdb.image"] == "g"
