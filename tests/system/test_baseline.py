"""A regression in the kernel is found by its baseline, named, and its cell shows why."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import images
from harness.hypervisor import KERNEL
from harness.kernel import identify

if TYPE_CHECKING:
    from tests.system.conftest import Unfixed

Start = Callable[..., "subprocess.Popen[str]"]
CELL = "domu-boot.g5.kvm-pr.own"
FIXED = "linux-970-fixed"


def test_the_first_fix_reverted_is_a_new_failure(
    testbed: Start, without_fix: Callable[[str], Unfixed], tmp_path: Path
) -> None:
    planted = without_fix("linux/0001").kernel
    fixed = images.ensure([FIXED])[FIXED].file(KERNEL)

    def run(kernel: Path, *more: str) -> tuple[int, str]:
        process = testbed("run", "domu-boot", "-p", "g5", "--kernel", str(kernel), *more)
        output, _ = process.communicate()
        return process.returncode, output

    code, output = run(fixed, "--save-baseline", "main", "--json", str(tmp_path / "main.json"))
    assert code == 0, output
    code, output = run(planted, "--baseline", "main", "--summary", str(tmp_path / "summary.md"))
    assert code == 1, output
    assert "1 newly broken: 1 new failure" in output
    assert f"{CELL}: yes -> no" in output
    assert f"kernel.build-id: {identify(fixed).build_id[:12]} -> {identify(planted).build_id[:12]}" in output
    assert CELL in (tmp_path / "summary.md").read_text()
    # The same, known to the baseline, is no news; nor for another machine that has but the file.
    code, output = run(planted, "--baseline", "last")
    assert code == 0, output
    assert "1 still broken: no new failures" in output
    compared = testbed("compare", str(tmp_path / "main.json"), "last", "--format", "json")
    data = json.loads(compared.communicate()[0])
    assert (compared.returncode, data["new_failures"]) == (1, [CELL])
    assert "first bad:" in testbed("results", "history", CELL).communicate()[0]
    # Without the fix the hypervisor delivers an exception that is not pending, the first: when it gets its first timer
    # the guest hangs, or dies, in the vector of System Reset (0x100 to 0x1ff).
    evidence = Path(data["cells"][0]["after"]["evidence"])
    shown = "".join(path.read_text() for name in ("alarm*.txt", "autopsy*.txt") for path in evidence.glob(name))
    assert re.search(r"NIP:? +00000000000001[0-9a-f]{2}\b", shown)
    assert "register_decrementer_clockevent" in shown
    verified = testbed("results", "verify")
    assert "3 as they were when they were finished, 0 edited" in verified.communicate()[0]
    assert verified.returncode == 0
