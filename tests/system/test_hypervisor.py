"""Today's Xen on bare POWER: it starts, and what is broken on purpose is red."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from base.files import sha256_file
from harness.resolve import resolve
from harness.runspec import OwnFile, RunSpec
from harness.worker import run_cell
from results.model import Result

Make = Callable[..., RunSpec]
STARTS = "steps: [hypervisor-starts, same-hypervisor, hypervisor-goes-on]\n"
XEN = {"platform": "powernv9", "hypervisor": "xen", "kernel": "debian", "templates": "none"}


def _run(spec: RunSpec, tmp_path: Path) -> Result:
    directory = tmp_path / "cell"
    directory.mkdir()
    return run_cell(spec, directory)


@pytest.mark.parametrize("platform", ["powernv9", "powernv10"])
def test_it_starts_is_the_one_that_was_built_and_switches_the_machine_off(
    platform: str, spec_for: Make, tmp_path: Path
) -> None:
    result = _run(spec_for(STARTS, **{**XEN, "platform": platform}), tmp_path)
    assert (result.raw, result.status) == ("pass", "yes"), result.message
    assert result.facts["hypervisor.build-id"] == result.facts["kernel.built.build-id"]
    assert b"Hello, ppc64le!" in (tmp_path / "cell/console/dom0.log").read_bytes()


def test_another_marker_is_not_seen(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(STARTS, **XEN)
    boot = spec.hypervisor.boot.model_copy(update={"shows": "Hello, ppc64be!"})
    spec = spec.model_copy(update={"hypervisor": spec.hypervisor.model_copy(update={"boot": boot})})
    result = _run(spec, tmp_path)
    assert (result.raw, result.status) == ("fail", "no")
    assert "before console 0 showed /Hello, ppc64be!/" in result.message


def test_a_truncated_image_does_not_start(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(STARTS, **XEN)
    whole = resolve(spec).kernel.read_bytes()
    cut = tmp_path / "xen"
    # Its code is in the first 1.1 MB, its symbols after that: half of the code is gone.
    cut.write_bytes(whole[: 600 << 10])
    result = _run(spec.model_copy(update={"kernel": OwnFile(path=cut, sha256=sha256_file(cut))}), tmp_path)
    assert (result.raw in ("fail", "timeout"), result.status) == (True, "no"), result.message
    assert b"Hello, ppc64le!" not in (tmp_path / "cell/console/dom0.log").read_bytes()


def test_another_build_is_told(spec_for: Make, tmp_path: Path) -> None:
    spec = spec_for(STARTS, **XEN)
    other = spec.kernel_identity.model_copy(update={"build_id": "0" * 40})
    result = _run(spec.model_copy(update={"kernel_identity": other}), tmp_path)
    assert (result.raw, result.status) == ("fail", "close")
    assert f"built was {'0' * 40}" in result.message


def test_where_no_dom0_comes_that_is_the_answer(spec_for: Make, tmp_path: Path) -> None:
    result = _run(spec_for("prepare: [boot-dom0]\nsteps: [create: u1]\n", **XEN), tmp_path)
    assert (result.raw, result.verdict, result.status) == ("fail", "xfail", "no")
    assert "dom0 opens its command channel: the machine was switched off or reset before that" in result.message
