"""The reference: Xen of Debian's on a simulated PC, steered by its own toolstack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., "subprocess.Popen[str]"]
ROWS = ("hypervisor-boot", "dom0-boot", "domu-boot")


def test_dom0_and_a_domu_boot_on_a_pc(testbed: Start, tmp_path: Path) -> None:
    run = testbed("run", *ROWS, "-p", "pc-xen", "--kernel", "4-17", "--json", str(tmp_path / "m.json"))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    cells: list[dict[str, Any]] = json.loads((tmp_path / "m.json").read_text())["cells"]
    assert {cell["scenario"]: cell["status"] for cell in cells if cell["verdict"]} == dict.fromkeys(ROWS, "yes")
    journal = (Path(next(c["directory"] for c in cells if c["scenario"] == "domu-boot")) / "journal.jsonl").read_text()
    # Xen itself says what the domU runs on, and why it stopped.
    assert "xen 4.17" in journal
    assert '"message": "power-off"' in journal
