"""Verbs of RTAS, PAPR's run-time abstraction services: the clock and the NVRAM of a domain."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import Seconds, StepFailed, verb

# The clock in seconds: from RTAS itself, and from the device that the kernel makes of it; then the guest's uptime.
_READ = "echo $(cat /proc/powerpc/rtas/clock) $(cat /sys/class/rtc/rtc0/since_epoch) $(cut -d. -f1 /proc/uptime)"
# How long the clock is watched (s), and how far it may be off: both ends are cut to whole seconds.
LOOK, TOLERANCE = 3, 2
# Setting takes a while on a simulated machine.
SETTING = 10
# A marker's bytes, and what around it must stay as it is. The lower half is left to firmware and kernel.
MARKER, GUARD = 32, 16


def _valid(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class ClockParams(DomainParams):
    """Parameters of `sets-clock`: the time, in UTC."""

    time: Annotated[str, AfterValidator(_valid)]
    within: Seconds = 60.0


@dataclass(frozen=True)
class Reading:
    """What a domain's clock showed: RTAS, the kernel's device, and the uptime by which they are judged."""

    rtas: int
    device: int
    uptime: int


@verb("sets-clock")
async def sets_clock(cell: Cell, params: ClockParams) -> str:
    """Set a domain's clock through RTAS: its machine must notice, and the clock must show that time and tick on."""
    name, wanted = params.domain, epoch(params.time)
    qmp = cell.qmp(name)
    seen = len(qmp.events)
    # The kernel's own clock is put back: what is read then does not come from it.
    script = f"""
        set -e
        before=$(date -u +%s)
        date -u -s '{params.time}' >/dev/null
        hwclock -u -w
        date -u -s @$before >/dev/null
        {_READ}; sleep {LOOK}; {_READ}
    """
    answer = await cell.run(name, script, params.within)
    lines = answer.output.splitlines()
    if answer.status != 0 or len(lines) != 2:
        raise StepFailed(f"{name} cannot set its clock: {answer.output.strip()}")
    first, last = reading(lines[0]), reading(lines[1])
    if trouble := clock_trouble(first, last, wanted):
        raise StepFailed(f"{name}'s clock was set to {params.time}, but {trouble}")
    what = f"{name}'s machine is told of the new time"
    await cell.wait(what, qmp.event("RTC_CHANGE", since=seen), params.within, domain=name)
    cell.notes[f"clock-of-{name}"] = wanted, await _dom0_uptime(cell, name, params.within)
    return f"{params.time}, then {told(last.rtas)}"


@verb("clock-goes-on", shorthand="domain")
async def clock_goes_on(cell: Cell, params: DomainParams) -> str:
    """Compare a domU's clock with what it was set to and the time that dom0 has seen pass since."""
    name = params.domain
    if f"clock-of-{name}" not in cell.notes:
        raise StepFailed(f"{name}'s clock was not set", hint="put the step `sets-clock` before this one")
    wanted, began = cell.notes[f"clock-of-{name}"]
    answer = await cell.run(name, _READ, params.within)
    shown = reading(answer.output)
    expected = wanted + await _dom0_uptime(cell, name, params.within) - began
    if abs(shown.rtas - expected) > SETTING or abs(shown.device - shown.rtas) > TOLERANCE:
        raise StepFailed(f"{name}'s clock shows {told(shown.rtas)} ({told(shown.device)}), not {told(expected)}")
    return told(shown.rtas)


@verb("writes-nvram", shorthand="domain")
async def writes_nvram(cell: Cell, params: DomainParams) -> str:
    """Write random bytes to a free place of a domain's NVRAM and read them back."""
    name = params.domain
    answer = await cell.run(name, "dd if=/dev/nvram bs=4096 2>/dev/null | wc -c", params.within)
    size = int(answer.output) if answer.output.strip().isdigit() else 0
    if size < 4 * (MARKER + 2 * GUARD):
        raise StepFailed(f"{name} has no NVRAM of a size, but: {answer.output.strip()}")
    place = size // 2 + GUARD * (1 + secrets.randbelow((size // 2 - MARKER - 2 * GUARD) // GUARD))
    marker = secrets.token_hex(MARKER)
    before = await _nvram(cell, params, place)
    if set(before) != {"0"}:
        raise StepFailed(f"{name}'s NVRAM is not free at {place:#x}: {before}")
    # printf takes octal escapes; an odd byte would be the shell's to understand otherwise.
    escaped = "".join(f"\\{byte:03o}" for byte in bytes.fromhex(marker))
    write = f"printf '{escaped}' | dd of=/dev/nvram bs=1 seek={place} conv=notrunc 2>&1"
    answer = await cell.run(name, write, params.within)
    if answer.status != 0:
        raise StepFailed(f"{name} cannot write to its NVRAM: {answer.output.strip()}")
    cell.notes[f"nvram-of-{name}"] = place, marker
    return f"{size} bytes, {await _marker(cell, params, place, marker)}"


@verb("nvram-is-kept", shorthand="domain")
async def nvram_is_kept(cell: Cell, params: DomainParams) -> str:
    """Read from a domain's NVRAM what `writes-nvram` wrote there."""
    if f"nvram-of-{params.domain}" not in cell.notes:
        raise StepFailed(f"{params.domain} wrote nothing", hint="put the step `writes-nvram` before this one")
    return await _marker(cell, params, *cell.notes[f"nvram-of-{params.domain}"])


def epoch(text: str) -> int:
    """Return a time in UTC as seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def told(seconds: int) -> str:
    """Return seconds since 1970 as people write them."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def reading(line: str) -> Reading:
    """Return what a line of the clock's script says. Raises StepFailed."""
    words = line.split()
    if len(words) != 3 or not all(word.isdigit() for word in words):
        raise StepFailed(f"no clock can be read: {line.strip()}")
    return Reading(*(int(word) for word in words))


def clock_trouble(first: Reading, last: Reading, wanted: int) -> str:
    """Return what is wrong with two readings of a clock that was set to `wanted`, or nothing."""
    if not 0 <= first.rtas - wanted <= SETTING:
        return f"RTAS shows {told(first.rtas)}"
    if abs(first.device - first.rtas) > TOLERANCE:
        return f"the device shows {told(first.device)} when RTAS shows {told(first.rtas)}"
    ticked, passed = last.rtas - first.rtas, last.uptime - first.uptime
    if ticked <= 0 or abs(ticked - passed) > TOLERANCE:
        return f"it ticked {ticked} s in {passed} s"
    return ""


async def _dom0_uptime(cell: Cell, name: str, seconds: float) -> int:
    host = name if cell.is_host(name) else cell.domain(name).host.name
    return int((await cell.run(host, "cut -d. -f1 /proc/uptime", seconds)).output)


async def _nvram(cell: Cell, params: DomainParams, place: int) -> str:
    """Return a marker's place and what is around it, in hexadecimal digits. Raises StepFailed."""
    script = (
        f"dd if=/dev/nvram bs={GUARD} skip={place // GUARD - 1} count={MARKER // GUARD + 2} 2>/dev/null "
        """| hexdump -v -e '1/1 "%02x"'"""
    )
    answer = await cell.run(params.domain, script, params.within)
    found = answer.output.strip()
    if answer.status != 0 or len(found) != 2 * (MARKER + 2 * GUARD):
        raise StepFailed(f"{params.domain}'s NVRAM cannot be read at {place:#x}: {found}")
    return found


async def _marker(cell: Cell, params: DomainParams, place: int, marker: str) -> str:
    found, guard = await _nvram(cell, params, place), "00" * GUARD
    if found != f"{guard}{marker}{guard}":
        raise StepFailed(f"{params.domain} wrote {marker} to its NVRAM at {place:#x}, and reads {found}")
    return f"{marker[:8]}... at {place:#x}"
