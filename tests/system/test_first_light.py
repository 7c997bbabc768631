"""The whole path on the real hypervisor: every cell, the matrix, and the evidence behind it."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.features import load_features

Start = Callable[..., "subprocess.Popen[str]"]
PLATFORMS = ("g5", "pseries-970")
# What runs each time; the whole page takes the better part of an hour (TESTBED_WHOLE=1).
CORE = ("dom0-boot", "dom0-reboot", "domu-boot", "save-restore")


def test_the_matrix_of_the_970(testbed: Start, tmp_path: Path) -> None:
    platforms = [word for name in PLATFORMS for word in ("-p", name)]
    run = testbed("run", *CORE, *platforms, "--json", str(tmp_path / "m.json"), "--junit", str(tmp_path / "junit.xml"))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    cells: list[dict[str, Any]] = json.loads((tmp_path / "m.json").read_text())["cells"]
    found = {(c["scenario"], c["platform"], c["hypervisor"], c["kernel"]): c for c in cells}
    for platform in PLATFORMS:
        for scenario in CORE:
            assert found[scenario, platform, "kvm-pr", "fixed"]["status"] == "yes"
        assert found["dom0-boot", platform, "kvm-pr", "stock"]["status"] == "yes"
        for scenario in set(CORE) - {"dom0-boot", "dom0-reboot"}:
            stock = found[scenario, platform, "kvm-pr", "stock"]
            assert (stock["status"], stock["verdict"]) == ("no", "xfail")
            assert Path(stock["evidence"]).exists()
    assert all(cell["qemu"].startswith("10.0.") for cell in cells)
    _kernels_are_proved(tmp_path / "results")
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["tests"] == str(len(cells))
    assert suite.attrib["failures"] == suite.attrib["errors"] == "0"
    matrix = testbed("matrix", "--format", "md").communicate()[0]
    rows = [line for line in matrix.splitlines() if line.startswith("| ")]
    tested = {cell["feature"] for cell in cells}
    assert sum("untested" in row for row in rows) == len(set(load_features().names()) - tested)


def test_the_same_files_on_power9(testbed: Start, tmp_path: Path) -> None:
    """On the other processor, its hypervisor and its kernel of Debian's; other toolstacks have tests of their own."""
    names = ("dom0-boot", "dom0-reboot", "domu-boot")
    run = testbed("run", *names, "-p", "pseries-power9", "-H", "kvm-hv", "--json", str(tmp_path / "m.json"))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    cells: list[dict[str, Any]] = json.loads((tmp_path / "m.json").read_text())["cells"]
    assert {cell["scenario"]: cell["status"] for cell in cells} == dict.fromkeys(names, "yes")


@pytest.mark.whole
@pytest.mark.skipif(os.environ.get("TESTBED_WHOLE") != "1", reason="takes the better part of an hour: TESTBED_WHOLE=1")
def test_no_row_of_the_page_is_untested(testbed: Start) -> None:
    run = testbed("run")
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "untested" not in testbed("matrix", "--format", "md").communicate()[0]


def _kernels_are_proved(results: Path) -> None:
    """The journal of each fixed cell carries what booted: the release, and the build id of the file built."""
    found = list(results.glob("runs/*/cells/*-boot.*.fixed/result.json"))
    assert len(found) == 4
    for path in found:
        facts = json.loads(path.read_text())["facts"]
        domain = "u1" if "domu-boot" in path.parent.name else "dom0"
        assert facts[f"kernel.{domain}.release"].endswith("-fixed")
        assert facts[f"kernel.{domain}.build-id"] == facts["kernel.built.build-id"] != ""
