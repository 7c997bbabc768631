"""How a domU sees its CPUs laid out: sockets, and cores in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.steps.domains import Topology, parse_topology
from harness.verbs import StepFailed, verb

_SCRIPT = """
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
    cd $cpu/topology || exit 1
    echo ${cpu##*/cpu} $(cat physical_package_id core_id package_cpus_list)
done
"""


class TopologyParams(DomainParams):
    """Parameters of `sees-topology`: what the domU must see."""

    topology: Topology


@dataclass(frozen=True)
class Place:
    """Where a guest says a CPU is, and with which CPUs it shares its socket."""

    cpu: int
    socket: int
    core: int
    together: tuple[int, ...]


@verb("sees-topology")
async def sees_topology(cell: Cell, params: TopologyParams) -> str:
    """Compare the sockets and cores that a domU's kernel reports with what they must be."""
    name = params.domain
    answer = await cell.run(name, _SCRIPT, params.within)
    if answer.status != 0:
        raise StepFailed(f"{name} does not report its topology: {answer.output.strip()}")
    places = [place(line) for line in answer.output.splitlines()]
    sockets, cores = parse_topology(params.topology)
    found = Counter(place.socket for place in places)
    if sorted(found.values()) != [cores] * sockets:
        seen = ", ".join(f"{count} in socket {socket}" for socket, count in sorted(found.items()))
        raise StepFailed(f"{name} must see {params.topology}, and sees {seen}")
    if trouble := contradictions(places):
        raise StepFailed(f"{name}'s topology contradicts itself: {trouble}")
    return "; ".join(f"CPU {place.cpu}: socket {place.socket}, core {place.core}" for place in places)


def place(line: str) -> Place:
    """Return what a line of the script says. Raises StepFailed."""
    words = line.split()
    try:
        cpu, socket, core = (int(word) for word in words[:3])
        return Place(cpu, socket, core, cpu_list(words[3]))
    except (ValueError, IndexError) as error:
        raise StepFailed(f"this is no CPU's place: {line}") from error


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPUs of a kernel's list, such as `0-1,4`."""
    spans = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return tuple(cpu for span in spans for cpu in range(span[0], span[-1] + 1))


def contradictions(places: list[Place]) -> str:
    """Return where the kernel's words on sockets, cores and who shares a socket do not go together, or nothing."""
    for one in places:
        mates = tuple(other.cpu for other in places if other.socket == one.socket)
        if one.together != mates:
            return f"CPU {one.cpu} shares its socket with {one.together}, of that socket are {mates}"
    if len({(one.socket, one.core) for one in places}) != len(places):
        return "two CPUs are the same core of the same socket"
    return ""
