"""What a JUnit report says of a cell beside its outcome."""

from __future__ import annotations

from pathlib import Path

from harness.attempts import RETRIED
from results.inputs import inputs_of
from results.model import Result


def properties(result: Result, directory: Path) -> list[tuple[str, str]]:
    """Return a test case's properties by name: verdict, status, evidence, cell, run, every input, the expectation.

    Inputs have the names of `results.inputs`: qemu.version, kernel.release, kernel.build-id, kernel.image (a digest),
    initrd.image, scenario and so on.
    """
    found = [
        ("verdict", str(result.verdict)),
        ("status", str(result.status)),
        ("evidence", str(directory)),
        ("cell", result.cell.id),
        ("run", result.run),
        *sorted(inputs_of(directory, result).items()),
    ]
    if result.expectation is not None:
        found += [("expectation.why", result.expectation.why), ("expectation.link", result.expectation.link)]
    if RETRIED in result.facts:
        found.append((RETRIED, str(result.facts[RETRIED])))
    return found
