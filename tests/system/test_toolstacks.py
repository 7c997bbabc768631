"""A scenario is written once: the same file makes domUs through every toolstack."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., "subprocess.Popen[str]"]
SCENARIO = "domu-boot"
COLUMNS = {"kvm-pr": "fixed", "kvm-hv": "debian", "kvm-hv-libvirt": "debian", "xen-x86": "4-17"}


def test_one_file_drives_qemu_libvirt_and_xl(testbed: Start, tmp_path: Path) -> None:
    table = tmp_path / "m.json"
    run = testbed("run", SCENARIO, "-p", "g5", "-p", "pseries-power9", "-p", "pc-xen", "--json", str(table))
    output, _ = run.communicate()
    assert run.returncode == 0, output
    cells: list[dict[str, Any]] = json.loads(table.read_text())["cells"]
    for hypervisor, kernel in COLUMNS.items():
        (cell,) = [c for c in cells if (c["hypervisor"], c["kernel"]) == (hypervisor, kernel)]
        assert cell["status"] == "yes", cell
    listed = toolstacks(tmp_path / "results")
    print("\n".join(f"{file}: {', '.join(sorted(names))}" for file, names in sorted(listed.items())))
    assert listed == {f"{SCENARIO}.yaml": {"qemu", "libvirt", "xl"}}


def toolstacks(results: Path) -> dict[str, set[str]]:
    """Return for each scenario's file the toolstacks that made domUs by it, from what the workers were told.

    Each worker must have been told the same of a scenario.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    told: dict[str, Any] = {}
    for path in results.glob("runs/*/cells/*/run-spec.json"):
        spec, result = json.loads(path.read_text()), json.loads(path.with_name("result.json").read_text())
        scenario = spec["scenario"]
        assert told.setdefault(scenario["name"], scenario) == scenario
        if any(step["verb"] == "create" and step["verdict"] == "pass" for step in result["steps"]):
            found[f"{scenario['name']}.yaml"].add(spec["hypervisor"]["toolstack"])
    return dict(found)
