"""Times that a result tells: of the whole cell, of booting, of standing still while migrating."""

from __future__ import annotations

from collections.abc import Mapping

from results.model import Result, Scalar, Verdict

WHOLE = "whole cell, s"
# Verbs that boot a domain, and what their time is called. A first boot is the one that is compared.
BOOTS = {"boot-dom0": "dom0 boots, s", "boots": "domU boots, s"}
DOWNTIME = ".downtime-ms"


def times_of(result: Result) -> dict[str, float]:
    """Return the times of a result by name and unit: seconds of wall time, milliseconds of a domU's standstill.

    Empty unless the cell passed: how long a failure took is no measurement.
    """
    if result.raw is not Verdict.PASS:
        return {}
    found = {WHOLE: result.elapsed}
    for step in result.steps:
        if (name := BOOTS.get(step.verb)) and name not in found:
            found[name] = step.elapsed
    return found | _standstill(result.facts)


def _standstill(facts: Mapping[str, Scalar]) -> dict[str, float]:
    """Return downtimes that the `migrate` step recorded: `migration.u1.downtime-ms`."""
    return {
        f"{name.removesuffix(DOWNTIME).removeprefix('migration.')} stands still, ms": float(value)
        for name, value in facts.items()
        if name.endswith(DOWNTIME) and isinstance(value, int | float)
    }
