"""`testbed lint`: what is wrong with YAML files, by line and column."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from base.errors import EXIT_OK, EXIT_USAGE
from harness.lint import files, lint


def main(argv: Sequence[str]) -> int:
    """Check YAML files; returns 0 if all is well, 2 if not. Raises UsageError for a file that is not there."""
    parser = argparse.ArgumentParser(
        prog="testbed lint",
        description="Check scenarios, platforms, hypervisors, recipes, expectations: file:line:column of each mistake.",
    )
    parser.add_argument("file", nargs="*", help="files or folders (default: all of the project's)")
    options = parser.parse_args(argv)
    paths = files(options.file)
    problems = lint(paths)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(paths)} files, nothing wrong")
    return EXIT_USAGE if problems else EXIT_OK
