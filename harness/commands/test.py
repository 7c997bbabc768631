"""`testbed test`: the project's own tests, ring by ring, through tox.

The launcher reads `split` before any environment exists: standard library only.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from base.errors import EXIT_OK, UsageError
from base.paths import PROJECT

HELP = """\
usage: ./testbed test [RING...] [-- PYTEST-OPTION...]

Run the project's own tests, all rings or those that are named, in this order:

  lint         ruff: style and common mistakes
  types        mypy --strict
  unit         no guest, no QEMU: seconds
  integration  real QEMU, firmware only: a minute
  system       real hypervisors; builds the images first if they are not there

A failed ring does not keep the next from running; the exit code is that of the first that failed.
Options after `--` go to pytest:  ./testbed test unit -- -k journal -x
"""

RINGS = ("lint", "types", "unit", "integration", "system")


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Split the command line into rings (all, if none is named) and what follows `--`. Raises UsageError."""
    end = words.index("--") if "--" in words else len(words)
    named, rest = words[:end], words[end + 1 :]
    for word in named:
        if word not in RINGS:
            kind = "option" if word.startswith("-") else "ring"
            near = difflib.get_close_matches(word, RINGS, n=1)
            text = f"did you mean '{near[0]}'?" if near else f"rings: {', '.join(RINGS)}"
            raise UsageError(f"unknown {kind} '{word}'; {text}", hint="options of pytest follow after `--`")
    return [ring for ring in RINGS if not named or ring in named], rest


def main(argv: Sequence[str]) -> int:
    """Run the rings that are asked for, all of them even if one fails; return the first exit code that is not 0.

    tox itself stays quiet, so that the last line of a good run is pytest's own summary.
    Raises UsageError for a ring that does not exist.
    """
    words = list(argv)
    if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
        print(HELP, end="")
        return EXIT_OK
    rings, rest = split(words)
    # A ring calls tox by name, to bring the environment that all rings share up to date.
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    failed: dict[str, int] = {}
    for ring in rings:
        print(f"== {ring}", flush=True)
        began = time.monotonic()
        command = [sys.executable, "-m", "tox", "run", "-qq", "-e", ring]
        code = subprocess.run(
            [*command, "--", *rest] if rest else command, cwd=PROJECT, env={**os.environ, "PATH": path}, check=False
        ).returncode
        if code != 0:
            failed[ring] = code
        print(f"   {ring}: {'ok' if code == 0 else 'failed'} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(f'{ring} (exit code {code})' for ring, code in failed.items())}", file=sys.stderr)
    return next(iter(failed.values()), EXIT_OK)
