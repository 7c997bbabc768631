"""`testbed test`: the test rings, through tox."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from base.errors import UsageError
from base.paths import PROJECT
from base.yamlmodel import suggest

RINGS = ("lint", "types", "unit", "integration", "system")


def main(argv: Sequence[str]) -> int:
    """Run the rings named, all of them by default, in order; returns tox's exit code. Raises UsageError."""
    words = list(argv)
    rest = words[words.index("--") + 1 :] if "--" in words else []
    parser = argparse.ArgumentParser(
        prog="testbed test",
        usage="testbed test [RING...] [-- ARGUMENT OF PYTEST...]",
        description=f"Run the test bed's own tests. Rings: {', '.join(RINGS)}.",
    )
    parser.add_argument("ring", nargs="*")
    rings = parser.parse_args(words[: words.index("--")] if "--" in words else words).ring or list(RINGS)
    for ring in rings:
        if ring not in RINGS:
            raise UsageError(f"no test ring '{ring}'{suggest(ring, RINGS)}")
    command = [sys.executable, "-m", "tox", "run", "-e", ",".join(ring for ring in RINGS if ring in rings)]
    if rest:
        command += ["--", *rest]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode
