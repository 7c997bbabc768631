"""CPUs of domUs whose QEMUs run in dom0: its threads, where they may run, and for how long they did."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.domain import Domain
from harness.host import Host
from harness.verbs import StepFailed


async def _must(host: Host, script: str, what: str) -> str:
    answer = await host.machine.command.run(script)
    if answer.status != 0:
        raise StepFailed(f"{host.name} {what}: {answer.output.strip()}")
    return answer.output.strip()


async def pin(domain: Domain, cpu: int) -> None:
    """Bind all vCPU threads of a domU to one CPU of its dom0. Raises StepFailed, QmpFailed."""
    threads = " ".join(str(thread) for thread in await domain.vcpu_threads())
    script = f"for thread in {threads}; do taskset -p -c {cpu} $thread || exit 1; done"
    await _must(domain.host, script, f"does not bind {domain.name} to CPU {cpu}")


async def cpu_times(domain: Domain) -> list[int]:
    """Return the ticks that each vCPU thread of a domU has run, by dom0's account. Raises StepFailed, QmpFailed."""
    threads = await domain.vcpu_threads()
    # Below /proc/TID, the kernel would sum up all threads of the process.
    files = " ".join(f"/proc/*/task/{thread}/stat" for thread in threads)
    what = f"has no account of {domain.name}'s vCPUs"
    output = await _must(domain.host, f"cat {files} | sed 's/.*) //' | cut -d' ' -f12,13", what)
    lines = output.splitlines()
    if len(lines) != len(threads):
        raise StepFailed(f"{domain.host.name} {what}: {output}")
    return [sum(int(field) for field in line.split()) for line in lines]


async def ran_on(host: Host, domains: Sequence[Domain], seconds: int) -> dict[int, int]:
    """Return for how many ticks each CPU of dom0's runs guests in so many seconds. Raises StepFailed, QmpFailed."""
    threads = [str(thread) for domain in domains for thread in await domain.vcpu_threads()]
    # The 9th number of a line `cpuN` is the time spent in guests; a thread's 12th, 13th and 37th number after its name
    # are its times and the CPU that it ran on last (proc(5)).
    script = f"""
        look() {{
            sed -n 's/^cpu[0-9]/&/p' /proc/stat | cut -d' ' -f1,10
            for thread in {" ".join(threads)}; do
                echo thread $thread $(cat /proc/*/task/$thread/stat | sed 's/.*) //' | cut -d' ' -f12,13,37)
            done
        }}
        look; sleep {seconds}; look
    """
    output = await _must(host, script, "does not tell what its CPUs did")
    guest = ticks_between("\n".join(re.findall(r"^cpu\d+ \d+$", output, re.MULTILINE)))
    threads_ran = thread_times(output)
    if sum(guest.values()) < sum(threads_ran.values()) / 2:
        # To a kernel that runs guests with interrupts off (KVM-HV), their time is that of their threads.
        return dict.fromkeys(guest, 0) | threads_ran
    return guest


def ticks_between(output: str) -> dict[int, int]:
    """Return how far a count of ticks came on each CPU, from two looks at /proc/stat in a row (`[cpu]N TICKS`)."""
    first: dict[int, int] = {}
    spent: dict[int, int] = {}
    for line in output.splitlines():
        cpu, ticks = line.split()
        number = int(cpu.removeprefix("cpu"))
        if number in first:
            spent[number] = int(ticks) - first[number]
        else:
            first[number] = int(ticks)
    return spent


def thread_times(output: str) -> dict[int, int]:
    """Return the ticks that threads ran on each CPU, from two looks at each in a row (`thread N USER SYSTEM CPU`)."""
    first: dict[str, int] = {}
    spent: dict[int, int] = {}
    for thread, *numbers in re.findall(r"^thread (\d+) (\d+) (\d+) (\d+)$", output, re.MULTILINE):
        user, system, cpu = map(int, numbers)
        if thread in first:
            spent[cpu] = spent.get(cpu, 0) + user + system - first[thread]
        else:
            first[thread] = user + system
    return spent
