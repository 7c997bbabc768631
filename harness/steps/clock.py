"""Time inside guests: what dom0's kernel counts for domUs, and waiting that a guest does itself."""

from __future__ import annotations

from harness.cell import Cell
from harness.domain import Domain
from harness.verbs import StepFailed


async def cpu_times(cell: Cell, domain: Domain, seconds: float) -> list[int]:
    """Return the ticks (1/100 s) that each vCPU thread has run, by dom0's account. Raises StepFailed."""
    threads = await domain.vcpu_threads()
    # Below /proc/TID, the kernel would sum up all threads of the process.
    files = " ".join(f"/proc/*/task/{thread}/stat" for thread in threads)
    answer = await cell.run(domain.host.name, f"cat {files} | sed 's/.*) //' | cut -d' ' -f12,13", seconds)
    lines = answer.output.splitlines()
    if answer.status != 0 or len(lines) != len(threads):
        raise StepFailed(f"{domain.host.name} has no account of {domain.name}'s vCPUs: {answer.output.strip()}")
    return [sum(int(field) for field in line.split()) for line in lines]


def until(condition: str, otherwise: str, seconds: int = 10) -> str:
    """Return the script that waits in a guest for `condition`, so long by its sleep, and fails after `otherwise`.

    It ends by itself: a loop without end would keep the command channel from all who come later.
    """
    now = "$(cut -d. -f1 /proc/uptime)"
    return (
        f"end=$(({now} + {seconds}))\n"
        f"until {condition}; do\n"
        f"    [ {now} -gt $end ] && {{ {otherwise}; exit 1; }}\n"
        f"    usleep 100000\n"
        f"done\n"
    )
