"""Where the seconds of a start go, read from its evidence: time lines of consoles, transcripts of QMP."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.cells import ANSWER, Start, printed_at
from sim.shell import HELLO

# What the kernel prints when the firmware's part is over (arch/powerpc/kernel/prom_init.c), and when its own is.
_FIRMWARE_ENDS = re.compile(rb"Booting Linux via __start")
_KERNEL_ENDS = re.compile(rb".*Run /init as init process")
_HELLO = re.compile(re.escape(HELLO.encode()))
_DONE = re.compile(rb"[0-9a-f]{8}:0>\r?\n")


def phases_of(start: Start, domain: str) -> dict[str, float]:
    """Return the phases of a start in their order, in seconds; they add up to its `ready`. Raises BenchFailed."""
    evidence = _Evidence(start.directory)
    marks = _warm(evidence, domain) if start.template else _cold(evidence, domain)
    # Journal, logs, and a template found.
    marks["the harness"] = max(start.ready, *marks.values())
    times = [0.0, *marks.values()]
    return {what: max(0.0, times[number + 1] - times[number]) for number, what in enumerate(marks)}


def _cold(evidence: _Evidence, domain: str) -> dict[str, float]:
    marks = {
        "QEMU starts": evidence.said("machine", "greeting"),
        "firmware": evidence.printed("dom0", _FIRMWARE_ENDS),
        "dom0's kernel": evidence.printed("dom0", _KERNEL_ENDS),
        "dom0's init": evidence.printed("dom0-command", _HELLO),
        "dom0 answers": evidence.printed("dom0-command", ANSWER),
    }
    if domain != "dom0":
        marks |= {
            "domU's QEMU starts": evidence.said(domain, "greeting"),
            "domU's kernel": evidence.printed(domain, _KERNEL_ENDS),
            "domU's init": evidence.printed(f"{domain}-command", _HELLO),
            "domU answers": evidence.printed(f"{domain}-command", ANSWER),
        }
    return marks


def _warm(evidence: _Evidence, domain: str) -> dict[str, float]:
    marks = {"QEMU starts": evidence.said("machine", "greeting"), "state taken in": evidence.resumed()}
    if domain != "dom0":
        marks["domU's QEMU answers"] = evidence.said(domain, "return")
    marks["dom0 answers"] = evidence.printed("dom0-command", ANSWER)
    marks["dom0's clock and entropy"] = evidence.printed("dom0-command", _DONE)
    if domain != "dom0":
        marks["domU answers"] = evidence.printed(f"{domain}-command", ANSWER)
        marks["domU's clock and entropy"] = evidence.printed(f"{domain}-command", _DONE)
    return marks


class _Evidence:
    """The evidence of one cell; times are seconds since its machine was made."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def printed(self, console: str, what: re.Pattern[bytes]) -> float:
        """Return when a line first came that begins so. Raises BenchFailed."""
        return printed_at(self._directory, console, what)

    def said(self, session: str, key: str) -> float:
        """Return when a QMP session first had such an entry."""
        return next(time for time, entry in self._entries(session) if key in entry)

    def resumed(self) -> float:
        """Return when the machine went on."""
        return next(time for time, entry in self._entries("machine") if entry.get("event") == "RESUME")

    def _entries(self, session: str) -> list[tuple[float, dict[str, object]]]:
        lines = (self._directory / "qmp" / f"{session}.jsonl").read_text().splitlines()
        return [(float(entry["t"]), entry) for entry in map(json.loads, lines)]
