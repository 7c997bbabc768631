"""CPUs that QEMU put to sleep for ever: a fault of the simulator's, which looks like a guest that hangs.

QEMU (10.0.13; `h_cede` in hw/ppc/spapr_hcall.c, `cpu_handle_exception` in accel/tcg/cpu-exec.c) marks a CPU that cedes
as halted, and then delivers an interrupt that came in the same moment all the same. The CPU stands before the first
instruction of its interrupt's handler, where it takes no other interrupt, and is never run again.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.deadline import STIRS, read_usage
from sim.qmp import Qmp
from sim.rsp import MSR, PC, StubClient

# Interrupt vectors of a PowerPC (Power ISA, Book III, "Interrupt Vector Offsets"): external and decrementer; and where
# they are with address translation on (LPCR[AIL] = 3), as Linux asks for on a POWER9.
VECTORS = (0x500, 0x900, 0xC000_0000_0000_4500, 0xC000_0000_0000_4900)
# At a vector no other interrupt is taken; a CPU that has ceded takes them (PAPR, H_CEDE).
MSR_EE, MSR_LE = 1 << 15, 1
# What SRR1 says of the interrupt itself, in the place of bits of the machine state (bits 33 to 36 and 42 to 47).
SRR1_ABOUT = 0x783F_0000
# So long (s) QEMU's answers are waited for.
PATIENCE = 5.0
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


async def lost_cpus(qmp: Qmp, pid: int, threads: Sequence[int]) -> list[LostCpu]:
    """Return the CPUs that stand at an interrupt vector while their machine sleeps. Raises QmpFailed, TimeoutError."""
    before = read_usage(pid, threads).ran
    async with asyncio.timeout(PATIENCE):
        if not (await qmp.execute("query-status"))["running"]:
            return []  # somebody has stopped the machine
        first = await _ask(qmp)
        second = await _ask(qmp)
    # A CPU that runs, or waits for a processor of the host, is not lost: it is somewhere else the next moment.
    return first if first == second and read_usage(pid, threads).ran - before < STIRS else []


async def wake(lost: Sequence[LostCpu], stub: socket.socket) -> None:
    """Undo the interrupts of lost CPUs, through a stub for which their machine stands still; it then goes on.

    Raises StubRefused, TimeoutError.
    """
    async with asyncio.timeout(PATIENCE), StubClient(stub) as client:
        for each in lost:
            await client.select(each.cpu)
            await client.write(PC, each.nip_before, _order(each.msr))
            await client.write(MSR, each.msr_before, _order(each.msr))
        await client.leave()


def _order(msr: int) -> Literal["big", "little"]:
    return "little" if msr & MSR_LE else "big"


async def _ask(qmp: Qmp) -> list[LostCpu]:
    return standing(str(await qmp.execute("human-monitor-command", command_line="info registers -a")))


def standing(registers: str) -> list[LostCpu]:
    """Return the CPUs that stand at an interrupt vector, from what QEMU's monitor tells of their registers."""
    found = []
    for match in _CPU.finditer(registers.replace("\r", "")):
        cpu, nip, msr, srr0, srr1 = int(match[1]), *(int(word, 16) for word in match.groups()[1:])
        if nip in VECTORS and not msr & MSR_EE and srr1 & MSR_EE:
            found.append(LostCpu(cpu, msr, srr0, srr1 & ~SRR1_ABOUT))
    return found
