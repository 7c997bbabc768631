"""CPUs that QEMU put to sleep for ever: a fault of the simulator's, which looks like a guest that hangs.

QEMU (10.0.13; `h_cede` in hw/ppc/spapr_hcall.c, `cpu_handle_exception` in accel/tcg/cpu-exec.c) marks a CPU that cedes
as halted, and then delivers an interrupt that came in the same moment all the same. The CPU stands before the first
instruction of its interrupt's handler, where it takes no other interrupt, and is never run again.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sim.deadline import STIRS, read_usage
from sim.qmp import Qmp
from sim.rsp import MSR, PC, StubClient

# Interrupt vectors of a PowerPC (Power ISA, Book III, "Interrupt Vector Offsets"): external and decrementer; and where
# they are with address translation on (LPCR[AIL] = 3), as Linux asks for on a POWER9.
VECTORS = (0x500, 0x900, 0xC000_0000_0000_4500, 0xC000_0000_0000_4900)
_VECTORS = tuple(hex(vector) for vector in VECTORS)
# At a vector no other interrupt is taken; a CPU that has ceded takes them (PAPR, H_CEDE).
MSR_EE, MSR_LE = 1 << 15, 1
# What SRR1 says of the interrupt itself, in the place of bits of the machine state (bits 33 to 36 and 42 to 47).
SRR1_ABOUT = 0x783F_0000
# So long (s) QEMU's answers are waited for.
PATIENCE = 5.0
# A CPU that stands still for so long (s) is lost.
LOST_AFTER = 3.0
# One thread for several CPUs gives each a tenth of a second in turn (QEMU, TCG_KICK_PERIOD): when it has run for so
# long (s), every CPU that can run has.
ROUND = 1.0
_CPU = re.compile(
    r"^CPU#(\d+)\s*\nNIP ([0-9a-f]{16}).*?\nMSR ([0-9a-f]{16})(?:(?!\nCPU#).)*?"
    r"SRR0 ([0-9a-f]{16}) +SRR1 ([0-9a-f]{16})",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class LostCpu:
    """A CPU that stands at an interrupt vector: its number, its state there, place and state before the interrupt."""

    cpu: int
    msr: int
    nip_before: int
    msr_before: int


@dataclass(frozen=True)
class _Sight:
    """A CPU at a vector: since when (s), what its thread had run by then (s), and at how many looks."""

    cpu: LostCpu
    since: float
    ran: float
    looks: int = 1


class Watch:
    """Looks at the CPUs of a machine from time to time, whatever else it does. `threads` are the host's, by CPU."""

    def __init__(self, qmp: Qmp, pid: int, threads: Mapping[int, int]) -> None:
        self._qmp = qmp
        self._pid = pid
        self._threads = threads
        self._seen: dict[int, _Sight] = {}

    @property
    def suspected(self) -> list[LostCpu]:
        """CPUs that stood at a vector at the last look, and had not moved since the one before."""
        return [sight.cpu for sight in self._seen.values() if sight.looks > 1]

    async def look(self) -> list[LostCpu]:
        """Return the CPUs that are lost by now. Raises QmpFailed, TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            standing_still = await self._standing()
        seen: dict[int, _Sight] = {}
        lost = []
        for cpu in standing_still:
            ran, sleeps = self._account(cpu.cpu)
            before = self._seen.get(cpu.cpu)
            if before is None or before.cpu != cpu:
                seen[cpu.cpu] = _Sight(cpu, time.monotonic(), ran)
                continue
            seen[cpu.cpu] = replace(before, looks=before.looks + 1)
            # One that only waits for a processor of the host has neither slept nor seen the others run.
            idle = sleeps and ran - before.ran < STIRS
            if time.monotonic() - before.since >= LOST_AFTER and (idle or ran - before.ran >= ROUND):
                lost.append(cpu)
        self._seen = seen
        return lost

    async def _standing(self) -> list[LostCpu]:
        if not (await self._qmp.probe("query-status"))["running"]:
            return []  # somebody has stopped the machine
        found = []
        for cpu in self._threads:
            # Few bytes for the many CPUs that are not at a vector; a QEMU that does not know the word tells all.
            where = (await self._ask(cpu, "p/x $pc")).strip()
            if not where.startswith("0x") or where in _VECTORS:
                found += standing(await self._ask(cpu, "info registers"))
        return found

    async def _ask(self, cpu: int, line: str) -> str:
        return str(await self._qmp.probe("human-monitor-command", command_line=line, cpu_index=cpu))

    def _account(self, cpu: int) -> tuple[float, bool]:
        """Return what a CPU's thread has run so far (s), and whether it sleeps."""
        thread = self._threads[cpu]
        try:
            # The state is behind the name, which is in brackets and may hold any (proc(5)).
            state = Path(f"/proc/{self._pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended: QEMU's exit is noticed elsewhere
            return 0.0, False
        return read_usage(self._pid, [thread]).ran, state == "S"


async def wake(lost: Sequence[LostCpu], stub: socket.socket) -> None:
    """Undo the interrupts of lost CPUs, through a stub for which their machine stands still; it then goes on.

    Raises StubRefused, TimeoutError.
    """
    async with asyncio.timeout(PATIENCE), StubClient(stub) as client:
        await client.learn()
        for each in lost:
            await client.select(each.cpu)
            await client.write(PC, each.nip_before, _order(each.msr))
            await client.write(MSR, each.msr_before, _order(each.msr))
        await client.leave()


def _order(msr: int) -> Literal["big", "little"]:
    return "little" if msr & MSR_LE else "big"


def standing(registers: str) -> list[LostCpu]:
    """Return the CPUs that stand at an interrupt vector, from what QEMU's monitor tells of their registers."""
    found = []
    for match in _CPU.finditer(registers.replace("\r", "")):
        cpu, nip, msr, srr0, srr1 = int(match[1]), *(int(word, 16) for word in match.groups()[1:])
        if nip in VECTORS and not msr & MSR_EE and srr1 & MSR_EE:
            found.append(LostCpu(cpu, msr, srr0, srr1 & ~SRR1_ABOUT))
    return found
