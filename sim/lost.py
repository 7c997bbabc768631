"""CPUs that QEMU put to sleep for ever: a fault of the simulator's, which looks like a guest that hangs.

QEMU (10.0.13; `h_cede` in hw/ppc/spapr_hcall.c, `cpu_handle_exception` in accel/tcg/cpu-exec.c) marks a CPU that cedes
as halted, and then delivers an interrupt that came in the same moment all the same. The CPU stands before the first
instruction of its interrupt's handler, where it takes no other interrupt, and is never run again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from sim.deadline import read_usage
from sim.qmp import Qmp

# Interrupt vectors of a PowerPC (Power ISA, Book III, "Interrupt Vector Offsets"): external and decrementer; and where
# they are with address translation on (LPCR[AIL] = 3), as Linux asks for on a POWER9.
VECTORS = (0x500, 0x900, 0xC000_0000_0000_4500, 0xC000_0000_0000_4900)
# At a vector no other interrupt is taken.
MSR_EE = 1 << 15
# So long (s) QEMU's answers are waited for; all CPUs that sleep use less than this (s) of the host's meanwhile.
PATIENCE, ASLEEP = 5.0, 0.05
_CPU = re.compile(r"^CPU#(\d+)\s*\nNIP ([0-9a-f]{16}).*?\nMSR ([0-9a-f]{16})", re.MULTILINE)


async def lost_cpus(qmp: Qmp, pid: int, threads: Sequence[int]) -> list[int]:
    """Return the CPUs that stand at an interrupt vector while their machine sleeps. Raises QmpFailed, TimeoutError."""
    before = read_usage(pid, threads).ran
    async with asyncio.timeout(PATIENCE):
        if not (await qmp.execute("query-status"))["running"]:
            return []  # somebody has stopped the machine
        first = await _ask(qmp)
        second = await _ask(qmp)
    # A CPU that runs, or waits for a processor of the host, is not lost: it is somewhere else the next moment.
    return first if first == second and read_usage(pid, threads).ran - before < ASLEEP else []


async def _ask(qmp: Qmp) -> list[int]:
    return standing(str(await qmp.execute("human-monitor-command", command_line="info registers -a")))


def standing(registers: str) -> list[int]:
    """Return which CPUs stand at an interrupt vector, from what QEMU's monitor tells of their registers."""
    return [
        int(cpu)
        for cpu, nip, msr in _CPU.findall(registers.replace("\r", ""))
        if int(nip, 16) in VECTORS and not int(msr, 16) & MSR_EE
    ]
