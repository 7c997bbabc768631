"""The host's factor: how much slower than the reference it simulates, measured once per host and QEMU build."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import TestbedError, UsageError
from base.progress import Event, Report, silent
from harness.remembered import Remembered, remembered

if TYPE_CHECKING:
    from harness.qemus import OwnQemu
    from images import Artifact
    from sim.platform import Architecture

OVERRIDE = "TESTBED_FACTOR"
SCHEMA = 1


@dataclass(frozen=True)
class Factor:
    """By how much deadlines are longer than on the reference host, and where that number comes from."""

    value: float
    source: str


def host_factor(
    qemu: Artifact | OwnQemu, version: str, report: Report = silent, architecture: Architecture = "ppc64"
) -> Factor:
    """Return the factor of this host with a QEMU: `TESTBED_FACTOR`, or what was measured, now if it never was.

    A measurement that fails is said in `source`, and 1 is taken: whatever is wrong will show in the cell itself.
    Raises UsageError when TESTBED_FACTOR is no positive number, OSError when the cache cannot be written.
    """
    if OVERRIDE in os.environ:
        return Factor(_override(os.environ[OVERRIDE]), OVERRIDE)
    # All but one of the workers that begin together wait here for a second.
    with remembered("calibration", SCHEMA, {"qemu": qemu.digest}) as record:
        return _known(record) or _measure(qemu, version, record, report, architecture)


def check_override() -> None:
    """Raise UsageError when TESTBED_FACTOR is set to what is no positive number."""
    if OVERRIDE in os.environ:
        _override(os.environ[OVERRIDE])


def _override(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"{OVERRIDE} is '{text}', not a positive number", hint="2 doubles all deadlines")
    return factor


def _known(record: Remembered) -> Factor | None:
    try:
        content = record.content or {}
        return Factor(float(content["factor"]), str(content["source"]))
    except (ValueError, KeyError, TypeError):
        return None


def _measure(
    qemu: Artifact | OwnQemu, version: str, record: Remembered, report: Report, architecture: Architecture
) -> Factor:
    from harness.resolve import qemu_binary  # noqa: PLC0415  (lazy: once per host)
    from sim.calibrate import measure  # noqa: PLC0415

    task = f"calibrate {qemu.name}"
    report(Event(task, "running", "how fast this host simulates"))
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="testbed-") as folder:
            factor = round(measure(qemu_binary(qemu, version, architecture), Path(folder), architecture), 3)
    except TestbedError as error:
        report(Event(task, "failed", f"{error.message}; deadlines are taken as they are"))
        return Factor(1.0, f"not measured: {error.message}")
    found = Factor(factor, f"measured {time.strftime('%Y-%m-%d', time.gmtime())}")
    record.keep({"factor": found.value, "source": found.source})
    report(Event(task, "done", f"factor {factor:.2f}", elapsed=time.monotonic() - began))
    return found
