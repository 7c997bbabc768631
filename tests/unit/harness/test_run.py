"""Which cells a run hands to pytest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

from base.errors import EXIT_INFRA, InfraError
from base.paths import PROJECT
from harness.cli import main
from harness.plan import PlannedCell

SCENARIO = PROJECT / "scenarios" / "hypervisor-boot.yaml"


@pytest.mark.parametrize(
    ("words", "named", "platform", "count"),
    [
        ([], [f"{SCENARIO}"], None, 16),
        (["-p", "powernv9"], [f"{SCENARIO}"], "powernv9", 2),
        (
            ["-p", "powernv9", "-p", "powernv10", "-p", "powernv9"],
            [f"{SCENARIO}::powernv9-{column}-debian" for column in ("kvm-hv", "xen")]
            + [f"{SCENARIO}::powernv10-xen-debian"],
            None,
            3,
        ),
    ],
)
def test_cells_of_several_platforms_are_named(
    words: list[str],
    named: list[str],
    platform: str | None,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def execute(cells: Sequence[PlannedCell], paths: Sequence[Path], options: argparse.Namespace) -> None:
        assert [str(path) for path in paths] == named
        assert (options.platform, len(cells)) == (platform, count)
        raise InfraError("seen")

    monkeypatch.setattr("harness.commands.run._execute", execute)
    assert main(["run", "hypervisor-boot", *words]) == EXIT_INFRA
    assert "seen" in capsys.readouterr().err


def test_each_of_several_platforms_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-p", "g5", "-p", "g55"]) == 2
    assert "no platform 'g55'; did you mean 'g5'?" in capsys.readouterr().err
