"""`testbed new-scenario` and `testbed new-platform`: files to begin with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from base.errors import EXIT_OK
from base.yamlmodel import load
from harness.scaffold import likely, new_platform, new_scenario
from harness.scenario import FOLDER, load_scenario
from sim.platform import Platform

SCHEMA = FOLDER / "schema.json"
SHOWN = 8


def scenario(argv: Sequence[str]) -> int:
    """Write a new scenario; returns 0. Raises UsageError."""
    parser = argparse.ArgumentParser(prog="testbed new-scenario", description="Write a scenario to begin with.")
    parser.add_argument("name", help="its name, or the path of its file")
    parser.add_argument("--feature", help="the row of the matrix (default: the name)")
    parser.add_argument("--domu", action="store_true", help="about a guest of the hypervisor")
    options = parser.parse_args(argv)
    path = Path(options.name) if options.name.endswith(".yaml") else FOLDER / f"{options.name}.yaml"
    schema = os.path.relpath(SCHEMA, path.absolute().parent)
    new_scenario(path, schema, feature=options.feature or path.stem, domu=options.domu)
    load_scenario(path)
    print(f"{path}\n  run it:     ./testbed run {options.name} -p g5\n  check it:   ./testbed lint {path}")
    if path.parent == FOLDER and options.feature is None:
        print("  a new row:  add it to results/features.yaml")
    for verb in likely(path.stem)[:SHOWN]:
        print(f"  perhaps of use: {verb.name}: {verb.summary}")
    return EXIT_OK


def platform(argv: Sequence[str]) -> int:
    """Write a new platform; returns 0. Raises UsageError."""
    parser = argparse.ArgumentParser(prog="testbed new-platform", description="Write a platform like another one.")
    parser.add_argument("name")
    parser.add_argument("--like", metavar="PLATFORM", default="pseries-970", help="default: %(default)s")
    options = parser.parse_args(argv)
    path = new_platform(options.name, options.like)
    load(path, Platform)
    print(
        f"{path}\n  what its keys mean:  docs/extending.md\n  check it:            ./testbed lint {path}\n"
        f"  let it be used:      name it under `platforms:` in harness/hypervisors/*.yaml\n"
        f"  switch it on:        ./testbed boot {options.name}"
    )
    return EXIT_OK
