"""What `xl` prints, read."""

from __future__ import annotations

from dataclasses import dataclass

from harness.toolstacks import DomainRow, HypervisorInfo
from harness.verbs import StepFailed

DOM0 = "Domain-0"
TICKS = 100


@dataclass(frozen=True)
class Vcpu:
    """A line of `xl vcpu-list`: number, the CPU that it ran on last (None: none), its time in ticks of 1/100 s."""

    number: int
    cpu: int | None
    time: int


def domain_rows(output: str) -> list[DomainRow]:
    """Return the domUs of `xl list`: name, id, memory, vCPUs, state, time. Raises StepFailed for what it is not."""
    rows = []
    for line in _body(output, "Name"):
        # A name has no blanks, but may be long.
        name, _, memory, vcpus, state, time = line.split()[:6]
        if name != DOM0:
            rows.append(DomainRow(name, state, int(memory), int(vcpus), float(time)))
    return rows


def vcpu_rows(output: str) -> list[Vcpu]:
    """Return the vCPUs of one domain of `xl vcpu-list`. Raises StepFailed for what it is not."""
    found = []
    for line in _body(output, "Name"):
        _, _, number, cpu, _, time = line.split()[:6]
        found.append(Vcpu(int(number), None if cpu == "-" else int(cpu), round(float(time) * TICKS)))
    return sorted(found, key=lambda vcpu: vcpu.number)


def hypervisor_info(output: str) -> HypervisorInfo:
    """Return what `xl info` says. Raises StepFailed when it lacks what is asked for."""
    words = dict(_pair(line) for line in output.splitlines() if ":" in line)
    try:
        return HypervisorInfo(f"Xen {words['xen_version']}", int(words["nr_cpus"]), int(words["free_memory"]))
    except (KeyError, ValueError) as error:
        raise StepFailed(f"`xl info` does not say what is asked for ({error}): {output.strip()}") from error


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _body(output: str, first: str) -> list[str]:
    lines = output.strip().splitlines()
    if not lines or not lines[0].startswith(first):
        raise StepFailed(f"xl printed no table, but: {output.strip() or 'nothing'}")
    return lines[1:]
