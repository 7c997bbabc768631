"""How fast a host simulates with one QEMU: the CPU time of a known piece of guest work."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sim.bootsector import boot_sector, printed
from sim.deadline import Budget
from sim.machine import Machine
from sim.platform import Architecture, find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec

# A machine whose firmware is up after half a second of CPU time, without a guest...
PLATFORM, FIRMWARE = "g5", "openbios"
PROMPT = r"\d+ > "
# ...and a program for its Forth, of about as much again: the first half is mostly translation, this mostly execution
# (its lines have less than 80 characters).
PROGRAM = "decimal : work 0 1000000 0 do i xor dup 3 + 1 and drop loop ;\r", "work 123 457 * + .\r"
# 0 xor 1 xor ... 999999 is 0, because 999999 is 3 modulo 4; 123 * 457 is 56211.
ANSWERS = r"; +ok", r"\b56211 +ok"
# A PC has no Forth: SeaBIOS starts, and a boot sector draws so many numbers.
PC, PC_FIRMWARE, ROUNDS = "pc-xen", "seabios", 400_000_000
# CPU seconds of all that on the host on which the scenarios' deadlines were set: a virtual machine with two cores of
# an AMD EPYC, QEMU 10.0.13. Six runs, calm: 0.939 to 0.952; beside four processes that spin: 0.947 to 1.066.
# The boot sector, on a busy one: 0.760 to 0.793.
REFERENCE: dict[Architecture, float] = {"ppc64": 0.95, "x86_64": 0.77}
# A measure beyond these is not believed: deadlines must keep a meaning.
LEAST, MOST = 0.5, 8.0
PATIENCE = Budget(work=30, idle=30, wall=300)


def measure(qemu: QemuBinary, evidence: Path, architecture: Architecture = "ppc64") -> float:
    """Return by how much this host simulates slower than the reference (LEAST to MOST); takes a second or two.

    Raises what a wait on a machine raises; `evidence` is a folder for what the machine leaves.
    """
    work = {"ppc64": _forth, "x86_64": _boot_sector}[architecture]
    return min(MOST, max(LEAST, asyncio.run(work(qemu, evidence)) / REFERENCE[architecture]))


async def _boot_sector(qemu: QemuBinary, evidence: Path) -> float:
    """Return the CPU seconds that the vCPUs used for a PC's known work."""
    path = evidence / "sector"
    path.write_bytes(boot_sector(ROUNDS))
    disk = ("-drive", f"file={path},format=raw,if=ide,read-only=off")
    async with Machine(MachineSpec(find_platform(PC), qemu, PC_FIRMWARE, args=disk), evidence) as machine:
        await machine.wait("the boot sector computes", machine.console.expect(printed(ROUNDS)), PATIENCE)
        return machine.usage.ran


async def _forth(qemu: QemuBinary, evidence: Path) -> float:
    """Return the CPU seconds that the vCPU used for the known work."""
    async with Machine(MachineSpec(find_platform(PLATFORM), qemu, FIRMWARE), evidence) as machine:
        await machine.wait("the firmware answers", machine.console.expect(PROMPT), PATIENCE)
        for line, answer in zip(PROGRAM, ANSWERS, strict=True):
            machine.console.send(line)
            await machine.wait("the firmware computes", machine.console.expect(answer), PATIENCE)
        return machine.usage.ran
