"""`virsh` in dom0: what it is told, what it says, and what its tables mean."""

from __future__ import annotations

import re
import shlex

from harness.host import Host
from harness.toolstacks import DomainRow, HypervisorInfo
from harness.verbs import StepFailed
from sim.shell import Answer

# virDomainState (include/libvirt/libvirt-domain.h), by number.
_STATES = ("no state", "running", "blocked", "paused", "in shutdown", "shut off", "crashed", "pmsuspended")
_NANOSECONDS = 1e9


async def run(host: Host, *words: str) -> Answer:
    """Let `virsh` do something; its `error:` lines come with the output."""
    return await host.machine.command.run(shlex.join(["virsh", "--quiet", *words]))


async def must(host: Host, *words: str) -> str:
    """Let `virsh` do something that must succeed; returns what it printed. Raises StepFailed."""
    answer = await run(host, *words)
    if answer.status != 0:
        raise StepFailed(f"{host.name}: `virsh {words[0]}` failed: {said(answer)}")
    return answer.output.strip()


def said(answer: Answer) -> str:
    """Return in a line what a command said went wrong."""
    lines = [line.strip() for line in answer.output.splitlines() if line.strip()]
    wrong = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    return "; ".join(wrong or lines) or "it said nothing"


def stats(text: str) -> dict[str, dict[str, str]]:
    """Read `virsh domstats`: for each domain its values by name."""
    found: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in text.splitlines():
        if named := re.fullmatch(r"\s*Domain: '(.+)'\s*", line):
            values = found.setdefault(named[1], {})
        elif "=" in line:
            name, _, value = line.strip().partition("=")
            values[name] = value
    return found


def rows(text: str) -> list[DomainRow]:
    """Read `virsh domstats --state --balloon --vcpu`: the domains that are there, in `xl list`'s words.

    Raises StepFailed when it does not tell all of that.
    """
    found = []
    for name, values in stats(text).items():
        try:
            state = _STATES[int(values["state.state"])]
            memory, vcpus = int(values["balloon.current"]) >> 10, int(values["vcpu.current"])
        except (KeyError, IndexError, ValueError) as error:
            raise StepFailed(f"`virsh domstats` does not tell {error} of {name}") from error
        time = sum(vcpu_times(values)) / _NANOSECONDS
        found.append(DomainRow(name, state, memory, vcpus, time))
    return found


def vcpu_times(values: dict[str, str]) -> list[int]:
    """Return how long each vCPU has run, in nanoseconds, from the values of a domain."""
    numbers = sorted(int(found[1]) for name in values if (found := re.fullmatch(r"vcpu\.(\d+)\.time", name)))
    return [int(values[f"vcpu.{number}.time"]) for number in numbers]


def info(version: str, node: str, memory: str) -> HypervisorInfo:
    """Read `virsh version`, `nodeinfo` and `nodememstats`. Raises StepFailed for what is none of them."""
    running = re.search(r"Running hypervisor: (.+)", version)
    library = re.search(r"Using library: (.+)", version)
    cpus, free = re.search(r"^CPU\(s\):\s+(\d+)", node, re.MULTILINE), re.search(r"^free\s*:\s+(\d+) KiB", memory, re.M)
    if not (running and library and cpus and free):
        raise StepFailed("virsh does not describe the hypervisor", hint="`virsh version; virsh nodeinfo` in dom0")
    return HypervisorInfo(f"KVM, {running[1]}, {library[1]}", int(cpus[1]), int(free[1]) >> 10)
