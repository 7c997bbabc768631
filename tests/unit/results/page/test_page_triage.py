"""Whose failure it is, and files of the user's, on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from results.model import CellId
from results.page.gather import gather
from results.page.grid import build_grid
from results.page.model import Column
from results.page.rerun import Image, SpecView, rerun
from results.store import create_run
from tests.unit.results.builders import cell, execute
from tests.unit.results.page.directories import rich, run_at, write

PC: dict[str, Any] = {"platform": "pc-xen", "hypervisor": "xen-x86", "kernel": "4-17", "firmware": ""}


@pytest.mark.parametrize(
    ("reference", "word", "about"),
    [
        ("pp|ppp", "port failure", "passes on the reference"),
        ("pp|fpp", "test or upstream", "fails on the reference as well"),
        ("pp|i", "unjudged", "has not run on the reference"),
    ],
)
def test_it_is_said_in_words_on_the_front_the_feature_and_the_cell(
    reference: str, word: str, about: str, tmp_path: Path
) -> None:
    run = run_at(1)
    rich(run, "pp|ff", scenario="domu-boot")
    rich(run, reference, scenario="domu-boot", **PC)
    rich(run, "pp|ppp", scenario="smp-guest", feature="smp-guest")
    write(tmp_path / "out")
    front = (tmp_path / "out/index.html").read_text()
    place = re.search(rf'<td class="no[^"]* {word.replace(" ", "-")}"><a href="[^"]*">no <i>([^<]*)</i></a>', front)
    assert place is not None
    assert place[1] == word
    assert f'<option value="{word.replace(" ", "-")}">{word}</option>' in front
    assert '<small class="is-ref">reference</small></th>' in front
    assert about in front
    assert f" <i>{word}</i></td>" in (tmp_path / "out/features/domu-boot.html").read_text()
    own = (tmp_path / f"out/runs/{run.id}/domu-boot.g5.kvm-pr.stock/index.html").read_text()
    assert f"<dt>Whose failure</dt><dd>{word} <span" in own
    judged_by = 'href="../../../cells/domu-boot.pc-xen.xen-x86.4-17/index.html">domu-boot.pc-xen.xen-x86.4-17</a>'
    assert (judged_by in own) is (word != "unjudged")
    other = (tmp_path / f"out/runs/{run.id}/domu-boot.pc-xen.xen-x86.4-17/index.html").read_text()
    assert "<dt>Column</dt><dd>reference</dd>" in other
    assert "Whose failure" not in other
    feed = {one["id"]: one["triage"] for one in json.loads((tmp_path / "out/feed.json").read_text())["cells"]}
    assert feed["domu-boot.g5.kvm-pr.stock"] == word
    assert feed["smp-guest.g5.kvm-pr.stock"] is None


def test_without_a_reference_only_the_cell_s_page_says_that_nobody_judged(tmp_path: Path) -> None:
    run = run_at(1)
    rich(run, "pp|ff", scenario="domu-boot")
    write(tmp_path / "out")
    front = (tmp_path / "out/index.html").read_text()
    assert "reference</small>" not in front
    assert "unjudged" not in front
    assert "unjudged" not in (tmp_path / "out/features/domu-boot.html").read_text()
    own = (tmp_path / f"out/runs/{run.id}/domu-boot.g5.kvm-pr.stock/index.html").read_text()
    assert "<dt>Whose failure</dt><dd>unjudged <span" in own


def test_a_page_is_made_again_when_a_reference_has_spoken(tmp_path: Path) -> None:
    run = run_at(1)
    rich(run, "pp|ff", scenario="domu-boot")
    write(tmp_path / "out")
    page = tmp_path / f"out/runs/{run.id}/domu-boot.g5.kvm-pr.stock/index.html"
    assert "unjudged" in page.read_text()
    rich(run_at(2), "pp|ppp", scenario="domu-boot", **PC)
    write(tmp_path / "out")
    assert "port failure" in page.read_text()


def test_files_of_the_user_s_stand_in_columns_of_their_own() -> None:
    run = create_run([])
    for kernel, axes in (
        ("fixed", {}),
        ("own", {}),
        ("fixed", {"initrd": "own"}),
        ("fixed", {"firmware": "own", "initrd": "own"}),
        ("fixed", {"qemu": "own"}),
        ("fixed", {"qemu": "7.2"}),
    ):
        execute(run, "p|p", kernel=kernel, axes=axes)
    assert build_grid(gather([run])).columns == (
        Column("g5", "kvm-pr", "fixed", "10.0.13"),
        Column("g5", "kvm-pr", "fixed", "10.0.13-own"),
        Column("g5", "kvm-pr", "fixed-firmware-own-initrd-own", "10.0.13"),
        Column("g5", "kvm-pr", "fixed-initrd-own", "10.0.13"),
        Column("g5", "kvm-pr", "own", "10.0.13"),
    )


@pytest.mark.parametrize(
    ("changes", "command", "needs"),
    [
        ({"kernel": "own"}, "-k /u/k", "the kernel with SHA-256 k1"),
        ({"axes": {"initrd": "own"}}, "-k stock --initrd /u/i", "the initrd with SHA-256 i1"),
        (
            {"axes": {"firmware": "own", "qemu": "own"}},
            "-k stock --firmware /u/f --qemu /u/q",
            "the firmware with SHA-256 f1, and the QEMU with SHA-256 q1",
        ),
        (
            {"axes": {"dom0": "own", "hypervisor-image": "own"}},
            "-k stock --dom0 /u/k --hypervisor-image /u/h",
            "the dom0 with SHA-256 k1, and the hypervisor-image with SHA-256 h1",
        ),
        ({"axes": {"firmware": "vof"}}, "-k stock --firmware vof", ""),
    ],
)
def test_the_command_that_runs_it_again_names_the_user_s_files(
    changes: dict[str, object], command: str, needs: str
) -> None:
    def own(letter: str) -> Image:
        return Image(path=f"/u/{letter}", sha256=f"{letter}1")

    spec = SpecView(qemu=own("q"), kernel=own("k"), initrd=own("i"), boots=own("h"), bios=own("f"))
    alone = SpecView(kernel=Image(path="/u/xen", sha256="x1"))
    assert rerun(cell(axes={"hypervisor-image": "own"}), alone).command.endswith("--hypervisor-image /u/xen")
    assert rerun(cell(), SpecView.model_validate({"hypervisor": {"folder": "/u/h"}})).command.endswith(
        "-H kvm-pr --hypervisors /u/h -k stock"
    )
    one: CellId = cell(**changes)
    found = rerun(one, spec)
    assert found.command == f"./testbed run domu-boot -p g5 -H kvm-pr {command}"
    assert found.needs == needs
    assert "firmware.image" in spec.images()
