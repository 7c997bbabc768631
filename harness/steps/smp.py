"""Verbs of several CPUs: those of a domU, and those of the hypervisor that its domUs are put on."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from pydantic import Field

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.steps.clock import until
from harness.steps.load import TICKS, bind, end_loops, start_loops
from harness.toolstacks.qemu_cpus import ticks_between
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.platform import DOM0

Positive = Annotated[int, Field(gt=0)]
# A loop that has a vCPU to itself runs all the time by its kernel's account.
FAIR = 0.5
# A CPU that a busy domU was put on has run it for so many ticks at least: of what a busy host leaves to each, dom0's
# own account tells nothing, so more would be a false alarm there.
LEAST_TICKS = 20
# A CPU that nobody was put on may have run a domU for this share of the time that any of the others has.
STRAY = 0.1
# Timer and IPIs in /proc/interrupts, of PowerPC (arch/powerpc/kernel/irq.c) and of a PV domU (arch/x86/xen/time.c,
# smp.c), where each CPU has lines of its own.
TIMER, IPI = r"LOC|timer\d+", r"IPI|(resched|callfunc|callfuncsingle)\d+"
_STALL = r"rcu.*(stall|starved)|soft lockup|hard LOCKUP|hung task|Clocksource .* skewed"


class OnlineParams(DomainParams):
    """Parameters of `cpus-online`."""

    count: Positive


class WorkParams(StepParams):
    """Parameters of `cpus-work`: how many CPUs each domU has, and how long all are kept busy, in seconds of theirs."""

    counts: dict[str, Positive] = Field(min_length=1)
    seconds: Positive = 10
    within: Seconds = 240.0


class HotplugParams(OnlineParams):
    """Parameters of `vcpu-set`."""

    within: Seconds = 60.0


class PlacedParams(StepParams):
    """Parameters of `domus-run-on`: for each domU, the CPU of dom0's that its vCPUs are put on."""

    cpus: dict[str, Annotated[int, Field(ge=0)]] = Field(min_length=1)
    seconds: Positive = 4
    host: str = DOM0
    within: Seconds = 120.0


@verb("cpus-online")
async def cpus_online(cell: Cell, params: OnlineParams) -> str:
    """Count the CPUs that a domain's kernel has online."""
    found = await cell.must(params.domain, "cat /sys/devices/system/cpu/online; nproc", params.within)
    online, count = found.splitlines()
    if int(count) != params.count:
        raise StepFailed(f"{params.domain} has the CPUs {online} online, not {params.count}")
    return online


@verb("cpus-work")
async def cpus_work(cell: Cell, params: WorkParams) -> str:
    """Keep all CPUs of some domUs busy at once, with a loop on each: loops run, timers tick, IPIs arrive."""
    works = (_cpus_work(cell, name, count, params) for name, count in params.counts.items())
    return "; ".join(await asyncio.gather(*works))


async def _cpus_work(cell: Cell, name: str, count: int, params: WorkParams) -> str:
    script = f"""
        for cpu in $(seq 0 {count - 1}); do
            taskset -c $cpu sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &
            eval loop$cpu=$!
        done
        stolen() {{ sed -n 's/^cpu\\([0-9]\\)/stolen \\1/p' /proc/stat | cut -d' ' -f1,2,10; }}
        cat /proc/interrupts; echo =====; cat /proc/uptime; stolen
        sleep {params.seconds}
        cat /proc/uptime; stolen
        for cpu in $(seq 0 {count - 1}); do
            eval loop=\\$loop$cpu
            echo loop $cpu $(sed 's/.*) //' /proc/$loop/stat | cut -d' ' -f12,13,37)
            kill $loop
        done
        echo =====; cat /proc/interrupts
    """
    output = await cell.must(name, script, params.within)
    before, middle, after = output.split("=====\n")
    clock = [float(line.split()[0]) for line in middle.splitlines() if not line.startswith(("loop", "stolen"))]
    elapsed = clock[1] - clock[0]
    # What other guests took of a CPU that would have run: a kernel that knows it does not count it as the loop's.
    stolen = ticks_between("\n".join(re.findall(r"^stolen (\d+ \d+)$", middle, re.MULTILINE)))
    shares = []
    for line in middle.splitlines():
        if line.startswith("loop"):
            cpu, user, system, ran_on = (int(word) for word in line.split()[1:])
            if ran_on != cpu:
                raise StepFailed(f"{name}: the loop of CPU {cpu} runs on CPU {ran_on}")
            shares.append((user + system + stolen.get(cpu, 0)) / TICKS / elapsed)
    if len(shares) != count or min(shares) < FAIR:
        told = ", ".join(f"{share:.2f}" for share in shares)
        raise StepFailed(f"{name}: in {elapsed:.1f} s its CPUs were given {told} of a CPU by its own kernel's account")
    ticks = _advance(before, after, TIMER, count)
    ipis = _advance(before, after, IPI, count) if count > 1 else []
    if ticks is None or min(ticks) < elapsed:
        raise StepFailed(f"{name}: timer ticks in {elapsed:.1f} s, by CPU: {ticks}")
    if count > 1 and (not ipis or min(ipis) < 1):
        raise StepFailed(f"{name}: IPIs in {elapsed:.1f} s, by CPU: {ipis}")
    return f"{name} {elapsed:.1f} s: load {min(shares):.2f} of a CPU at least, ticks {ticks}, IPIs {ipis or 'none'}"


@verb("no-stall", shorthand="domain")
async def no_stall(cell: Cell, params: DomainParams) -> str:
    """Look through a domain's kernel log: no CPU has stalled, no task hung, no clock gone astray."""
    log = await cell.must(params.domain, "dmesg", params.within)
    # Its argument that no stall be told (rcupdate.rcu_cpu_stall_suppress) is in the log twice, and is none.
    found = [line for line in log.splitlines() if re.search(_STALL, line) and "stall_suppress" not in line]
    if found:
        raise StepFailed(f"{params.domain}: {found[0].strip()}")
    return f"{len(log.splitlines())} lines, none of a stall"


@verb("vcpu-set")
async def vcpu_set(cell: Cell, params: HotplugParams) -> str:
    """Plug vCPUs into a running domU, or take some out, through the toolstack; the domU must have so many online."""
    name = params.domain
    domain = cell.domain(name)
    what = f"{name} gets {params.count} vCPUs"
    await cell.wait(what, cell.toolstack.set_vcpus(domain, params.count), params.within, domain=name)
    present = "cat /sys/devices/system/cpu/present"
    wait = until(f"[ $(nproc) = {params.count} ]", f"echo $(nproc) online, present: $({present}); dmesg | tail -n 3")
    return await cell.must(name, f"{wait} cat /sys/devices/system/cpu/online", params.within)


@verb("domus-run-on")
async def domus_run_on(cell: Cell, params: PlacedParams) -> str:
    """Bind busy domUs to CPUs: by the hypervisor's own account, those CPUs run guests, and no others do."""
    host = cell.host(params.host).name
    for name, cpu in params.cpus.items():
        await bind(cell, name, cpu, params.within)
    loops = await start_loops(cell, params.cpus, params.within)
    work = cell.toolstack.ran_on(cell.host(host), [cell.domain(name) for name in params.cpus], params.seconds)
    guest = await cell.wait(f"{host} tells what its CPUs run", work, params.within, domain=host)
    await end_loops(cell, loops, params.within)
    wanted = set(params.cpus.values())
    least = min(guest.get(cpu, 0) for cpu in wanted)
    told = ", ".join(f"CPU {cpu}: {ticks / TICKS:.2f} s" for cpu, ticks in sorted(guest.items()))
    stray = [cpu for cpu, ticks in guest.items() if cpu not in wanted and ticks > STRAY * least]
    if least < LEAST_TICKS or stray:
        raise StepFailed(f"{host} was to run guests on the CPUs {sorted(wanted)}; in {params.seconds} s, {told}")
    return told


def interrupts(text: str, name: str) -> list[list[int]]:
    """Return the counts by CPU of each line of /proc/interrupts whose label or description matches `name`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words and any(re.fullmatch(name, word) for word in (words[0].removesuffix(":"), words[-1])):
            found.append([int(word) for word in words[1:] if word.isdigit()])
    return found


def _advance(before: str, after: str, name: str, count: int) -> list[int] | None:
    """Return by how much certain interrupts' counters have risen on each of the first `count` CPUs."""
    old, new = interrupts(before, name), interrupts(after, name)
    if not old or len(old) != len(new):
        return None
    return [sum(line[cpu] for line in new) - sum(line[cpu] for line in old) for cpu in range(count)]
