"""Whether an accelerator runs a machine on this host: the machine is booted under it, not looked up in a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sim.deadline import Budget
from sim.errors import QemuRefused, SimError
from sim.machine import Machine
from sim.platform import Accelerator
from sim.spec import MachineSpec

# The reference's dom0 answers after some 90 s of CPU time when all of it is simulated, 15 of them in silence: what
# takes much longer is not worth having. A hypervisor that hangs does so at its beginning, without a word.
PATIENCE = Budget(work=180, idle=30, wall=900, silence=45)


async def objection(spec: MachineSpec, accelerator: Accelerator, evidence: Path, patience: Budget = PATIENCE) -> str:
    """Boot a machine under an accelerator; return "" if its dom0 computes an answer, else what came instead.

    The machine is gone afterwards. Raises InfraError when it was the host that kept it from telling: it had no time
    (HostStarved), QEMU was killed or cannot be run.
    """
    said = ""
    try:
        async with Machine(replace(spec, accelerator=accelerator), evidence) as machine:
            try:
                await machine.wait("dom0 boots", machine.command.hello(), patience, speaker=machine.console)
                await machine.wait("dom0 answers", machine.command.challenge(), patience)
            finally:
                said = machine.console.tail(1).strip()
    except (SimError, QemuRefused) as error:
        return f"{error.message}; the last that its console said: '{said}'" if said else error.message
    return ""
