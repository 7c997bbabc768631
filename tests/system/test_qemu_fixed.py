"""What our fixes for QEMU mend: the row that Debian's fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Start = Callable[..., "subprocess.Popen[str]"]


def test_a_domu_at_work_migrates_where_its_writes_are_noticed(testbed: Start, tmp_path: Path) -> None:
    """With Debian's QEMU 10.0 the domU is corrupted: pages that it read before it wrote to them are left behind."""
    words = ("live-migration", "-p", "powernv9", "-H", "kvm-hv", "--qemu", "fixed")
    run = testbed("run", *words, "--json", str(tmp_path / "m.json"))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    (cell,) = [cell for cell in json.loads((tmp_path / "m.json").read_text())["cells"] if cell["verdict"]]
    assert (cell["status"], cell["qemu"]) == ("yes", "10.0.13+fixed")
