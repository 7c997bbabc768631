"""A regression in the kernel is found by its baseline, named, and its cell shows why."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import images
from harness.kernel import identify
from harness.resolve import KERNEL

Start = Callable[..., "subprocess.Popen[str]"]
CELL = "domu-boot.g5.kvm-pr.own"


def test_a_kernel_without_its_fixes_is_a_new_failure(testbed: Start, tmp_path: Path) -> None:
    fixed, stock = (
        images.ensure([f"linux-970-{name}"])[f"linux-970-{name}"].file(KERNEL) for name in ("fixed", "stock")
    )

    def run(kernel: Path, *more: str) -> tuple[int, str]:
        process = testbed("run", "domu-boot", "-p", "g5", "--kernel", str(kernel), *more)
        output, _ = process.communicate()
        return process.returncode, output

    code, output = run(fixed, "--save-baseline", "main", "--json", str(tmp_path / "main.json"))
    assert code == 0, output
    code, output = run(stock, "--baseline", "main", "--summary", str(tmp_path / "summary.md"))
    assert code == 1, output
    assert "1 newly broken: 1 new failure" in output
    assert f"{CELL}: yes -> no" in output
    assert f"kernel.build-id: {identify(fixed).build_id[:12]} -> {identify(stock).build_id[:12]}" in output
    assert CELL in (tmp_path / "summary.md").read_text()
    # The same, known to the baseline, is no news; nor for another machine that has but the file.
    code, output = run(stock, "--baseline", "last")
    assert code == 0, output
    assert "1 still broken: no new failures" in output
    compared = testbed("compare", str(tmp_path / "main.json"), "last", "--format", "json")
    data = json.loads(compared.communicate()[0])
    assert (compared.returncode, data["new_failures"]) == (1, [CELL])
    history = testbed("results", "history", CELL).communicate()[0]
    assert "first bad:" in history
    assert "Couldn't emulate instruction" in history
    verified = testbed("results", "verify")
    assert "3 as they were when they were finished, 0 edited" in verified.communicate()[0]
    assert verified.returncode == 0
