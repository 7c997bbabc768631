"""What runs a cell's machine: the best accelerator of its platform that was seen to do so on this host."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

from base.errors import InfraError, UsageError
from base.progress import Event, Report, silent
from base.yamlmodel import suggest
from harness.remembered import Remembered, remembered
from harness.runspec import RunSpec
from harness.scenario import MachineWish
from sim.platform import Accelerator

OVERRIDE = "TESTBED_ACCEL"
SCHEMA = 1
DEVICE = Path("/dev/kvm")
SIMULATOR: Accelerator = "tcg"


def accelerated(spec: RunSpec, report: Report = silent) -> RunSpec:
    """Return the run-spec with the accelerator that its machine is to run under, and what spoke against a better one.

    An accelerator of the platform's is tried once for this host, QEMU and images: dom0 must boot and answer.
    `TESTBED_ACCEL` decides instead, where the platform has that accelerator. Raises UsageError when it is no
    accelerator, OSError when the cache cannot be written, and what making an image raises.
    """
    offered = spec.platform.accelerators
    if (wanted := check_override()) in offered:
        return spec.model_copy(update={"accelerator": wanted, "accelerator_why": OVERRIDE})
    objections: list[str] = []
    for name in offered:
        against = "" if name == SIMULATOR else _against(spec, name, report)
        if not against:
            return spec.model_copy(update={"accelerator": name, "accelerator_why": "; ".join(objections)})
        objections.append(against)
    raise UsageError(f"nothing runs {spec.platform.name} here: {'; '.join(objections)}")


def check_override() -> str:
    """Return what `TESTBED_ACCEL` says, "" if it is not set. Raises UsageError when it is no accelerator."""
    wanted = os.environ.get(OVERRIDE, "")
    if wanted and wanted not in (known := get_args(Accelerator)):
        raise UsageError(f"{OVERRIDE} is '{wanted}'{suggest(wanted, known)}", hint="tcg simulates, on any host")
    return wanted


def _against(spec: RunSpec, name: Accelerator, report: Report) -> str:
    """Return what speaks against an accelerator, "" for nothing; tried now if it never was."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{name}: {DEVICE} is {'not ours to open' if DEVICE.exists() else 'missing'}"
    from harness.fingerprint import bootables  # noqa: PLC0415  (lazy: a mistake in the arguments is told at once)

    depends = {"release": platform.release(), "accelerator": name, **bootables(spec)}
    with remembered("accelerators", SCHEMA, depends) as record:
        if record.content is not None:
            return str(record.content.get("objection", ""))
        return _try(spec, name, record, report)


def _try(spec: RunSpec, name: Accelerator, record: Remembered, report: Report) -> str:
    from harness.machine import machine_spec, ports_of, slots_of  # noqa: PLC0415  (lazy: once per host)
    from harness.resolve import resolve  # noqa: PLC0415
    from sim.virtualised import objection  # noqa: PLC0415

    task = f"try {name} on {spec.platform.name}"
    report(Event(task, "running", "whether dom0 boots under it"))
    began = time.monotonic()
    # As any cell's of the platform, whatever this scenario wants besides.
    plain = spec.model_copy(update={"scenario": spec.scenario.model_copy(update={"machine": MachineWish()})})
    machine = replace(machine_spec(plain, resolve(plain, report)), ports=ports_of(slots_of(plain)))
    with tempfile.TemporaryDirectory(prefix="testbed-") as folder:
        try:
            found = asyncio.run(objection(machine, name, Path(folder)))
        except InfraError as error:
            report(Event(task, "failed", f"{error.message}; {SIMULATOR} this time"))
            return f"{name}: {error.message}"
    found = f"{name}: {found}" if found else ""
    elapsed = time.monotonic() - began
    record.keep({"objection": found, "tried": time.strftime("%Y-%m-%d", time.gmtime()), "seconds": round(elapsed, 1)})
    report(Event(task, "done", f"{found}; {SIMULATOR} instead" if found else "it does", elapsed=elapsed))
    return found
