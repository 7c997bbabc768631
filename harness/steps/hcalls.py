"""Verbs that look at what a domU asks of its hypervisor: hypercalls as its kernel traces them, exits as dom0 counts."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field

from base.yamlmodel import suggest
from harness.cell import Cell
from harness.domain import Domain
from harness.steps.answering import DomainParams
from harness.verbs import Seconds, StepFailed, verb

# Numbers of PAPR (LoPAPR 1.1, chapter 14; Linux, arch/powerpc/include/asm/hvcall.h). Linux does not trace the H_CEDE of
# an idle CPU: dom0 shows it, as time in which the vCPU waited (halt_wait_ns).
HCALLS = {
    0x04: "H_REMOVE",
    0x08: "H_ENTER",
    0x0C: "H_READ",
    0x10: "H_CLEAR_MOD",
    0x14: "H_CLEAR_REF",
    0x18: "H_PROTECT",
    0x1C: "H_GET_TCE",
    0x20: "H_PUT_TCE",
    0x24: "H_SET_SPRG0",
    0x28: "H_SET_DABR",
    0x2C: "H_PAGE_INIT",
    0x3C: "H_LOGICAL_CI_LOAD",
    0x40: "H_LOGICAL_CI_STORE",
    0x54: "H_GET_TERM_CHAR",
    0x58: "H_PUT_TERM_CHAR",
    0x64: "H_EOI",
    0x68: "H_CPPR",
    0x6C: "H_IPI",
    0x70: "H_IPOLL",
    0x74: "H_XIRR",
    0xDC: "H_REGISTER_VPA",
    0xE0: "H_CEDE",
    0xE4: "H_CONFER",
    0xE8: "H_PROD",
    0xFC: "H_REG_CRQ",
    0x100: "H_FREE_CRQ",
    0x104: "H_VIO_SIGNAL",
    0x108: "H_SEND_CRQ",
    0x114: "H_REGISTER_LOGICAL_LAN",
    0x118: "H_FREE_LOGICAL_LAN",
    0x11C: "H_ADD_LOGICAL_LAN_BUFFER",
    0x120: "H_SEND_LOGICAL_LAN",
    0x124: "H_BULK_REMOVE",
    0x130: "H_MULTICAST_CTRL",
    0x134: "H_SET_XDABR",
    0x138: "H_STUFF_TCE",
    0x13C: "H_PUT_TCE_INDIRECT",
    0x14C: "H_CHANGE_LOGICAL_LAN_MAC",
    0x31C: "H_SET_MODE",
}
TRACEFS = "/sys/kernel/debug/tracing"
EXITS = "/sys/kernel/debug/kvm"
TRACES = "hcall-traces"
_ENTRY = re.compile(r"^entry +(\d+) (\d+)$", re.MULTILINE)
_LEAVE = re.compile(r"^exit +(\d+) (\d+)$", re.MULTILINE)
_LOST = re.compile(r"^(?:overrun|commit overrun|dropped events): ([1-9]\d*)$", re.MULTILINE)
# Counted in the domU: the trace itself is long. What is under way when the trace begins or ends has one end only.
_SCRIPT = f"""
    cd {TRACEFS}/events/powerpc/hcall_entry || exit 1
    cd {TRACEFS}
    echo 0 >tracing_on
    echo >trace
    echo 1 >events/powerpc/hcall_entry/enable
    echo 1 >events/powerpc/hcall_exit/enable
    echo 1 >tracing_on
    ( COMMAND ) </dev/null >/dev/null 2>&1
    status=$?
    echo 0 >tracing_on
    echo 0 >events/powerpc/hcall_entry/enable
    echo 0 >events/powerpc/hcall_exit/enable
    sed -n 's/.*hcall_entry: opcode=//p' trace | sort | uniq -c | sed 's/^ */entry /'
    sed -n 's/.*hcall_exit: opcode=\\([0-9]*\\) .*/\\1/p' trace | sort | uniq -c | sed 's/^ */exit /'
    cat per_cpu/cpu*/stats
    exit $status
"""


def _hcall(name: str) -> str:
    if name not in HCALLS.values():
        raise ValueError(f"no hypercall '{name}'{suggest(name, list(HCALLS.values()))}")
    return name


HcallName = Annotated[str, AfterValidator(_hcall)]
Count = Annotated[int, Field(ge=0)]


class TraceParams(DomainParams):
    """Parameters of `traces-hcalls`: what the domU does, and how many of which hypercalls that must take.

    The command's output goes nowhere: that would be hypercalls, too.
    """

    command: str = Field(min_length=1)
    at_least: dict[HcallName, Count] = Field(default_factory=dict)
    at_most: dict[HcallName, Count] = Field(default_factory=dict)
    within: Seconds = 90.0


class ExitParams(DomainParams):
    """Parameters of `counts-exits`: what the domU does, and by how much dom0's counters must rise meanwhile."""

    command: str = Field(min_length=1)
    at_least: dict[str, Count] = Field(min_length=1)
    within: Seconds = 90.0


@verb("traces-hcalls")
async def traces_hcalls(cell: Cell, params: TraceParams) -> str:
    """Let a domU trace its hypercalls at some work; they must go with the work, and with the exits dom0 counts."""
    name = params.domain
    before = await exits(cell, cell.domain(name), params.within)
    answer = await cell.run(name, _SCRIPT.replace("COMMAND", params.command), params.within)
    after = await exits(cell, cell.domain(name), params.within)
    entries, leaves = traced(answer.output)
    if answer.status != 0 or not entries:
        raise StepFailed(f"{name} traces no hypercalls at `{params.command}`: {answer.output.strip()[-400:]}")
    told = ", ".join(f"{call} {count}" for call, count in entries.most_common())
    number = cell.notes[TRACES] = cell.notes.get(TRACES, 0) + 1
    cell.evidence(f"hcalls.{name}.{number}.txt", f"{params.command}\n{answer.output}")
    if entries != leaves:
        ends = ", ".join(f"{call} {count}" for call, count in leaves.most_common())
        raise StepFailed(f"{name}: of these hypercalls not all came back: {told}; back came {ends}")
    for call, count in params.at_least.items():
        if entries[call] < count:
            raise StepFailed(
                f"{name}: {entries[call]} {call} at `{params.command}`, expected at least {count} ({told})"
            )
    for call, count in params.at_most.items():
        if entries[call] > count:
            raise StepFailed(f"{name}: {entries[call]} {call} at `{params.command}`, expected at most {count} ({told})")
    counter = cell.hypervisor.hcall_exits
    taken = after[counter] - before[counter]
    if taken < entries.total():
        raise StepFailed(f"{name} traced {entries.total()} hypercalls, dom0 counted {taken} {counter}")
    return f"{told}; {entries.total()} of {taken} {counter}"


@verb("counts-exits")
async def counts_exits(cell: Cell, params: ExitParams) -> str:
    """Let a domU work; the counters of its exits in dom0 must rise by so much."""
    name = params.domain
    before = await exits(cell, cell.domain(name), params.within)
    if unknown := sorted(set(params.at_least) - set(before)):
        raise StepFailed(f"dom0 does not count {', '.join(unknown)}; it counts {', '.join(sorted(before))}")
    answer = await cell.run(name, f"( {params.command} ) </dev/null >/dev/null 2>&1", params.within)
    after = await exits(cell, cell.domain(name), params.within)
    if answer.status != 0:
        raise StepFailed(f"{name}: `{params.command}` ended with {answer.status}")
    risen = {counter: after[counter] - before[counter] for counter in params.at_least}
    told = ", ".join(f"{counter} +{by}" for counter, by in risen.items())
    if any(risen[counter] < count for counter, count in params.at_least.items()):
        wanted = ", ".join(f"{counter} +{count}" for counter, count in params.at_least.items())
        raise StepFailed(f"{name}: at `{params.command}` dom0 counted {told}, expected at least {wanted}")
    return told


async def exits(cell: Cell, domain: Domain, seconds: float) -> dict[str, int]:
    """Return what dom0's KVM has counted for a domU, by counter. Raises StepFailed."""
    thread = (await cell.vcpu_threads(domain.name, seconds))[0]
    # The folder is called after the process and a descriptor of it.
    script = f"""
        process=$(sed -n 's/^Tgid:[^0-9]*//p' /proc/{thread}/status)
        cd {EXITS}/$process-* || exit 1
        for counter in *; do [ -f $counter ] && echo $counter $(head -n 1 $counter); done
        true
    """
    answer = await cell.run(domain.host.name, script, seconds)
    found = re.findall(r"^(\w+) (\d+)$", answer.output, re.MULTILINE)
    if answer.status != 0 or cell.hypervisor.hcall_exits not in dict(found):
        raise StepFailed(f"{domain.host.name} has no counters of {domain.name}: {answer.output.strip()[-400:]}")
    return {counter: int(count) for counter, count in found}


def traced(output: str) -> tuple[Counter[str], Counter[str]]:
    """Return how many hypercalls of each name began, and how many ended. Raises StepFailed when events were lost."""
    check_whole(output)
    entries, leaves = (
        Counter({HCALLS.get(int(number), f"{int(number):#x}"): int(count) for count, number in pattern.findall(output)})
        for pattern in (_ENTRY, _LEAVE)
    )
    return entries, leaves


def check_whole(stats: str) -> None:
    """Raise StepFailed when a kernel's buffers have lost events; `stats` are tracefs' `per_cpu/cpu*/stats`."""
    if lost := _LOST.search(stats):
        raise StepFailed(f"the trace is not whole: {lost[0]}", hint="trace less, or fewer kinds of events")
