"""A balloon that moves towards its target, whatever toolstack asked it to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from harness.domain import Domain

# A balloon that comes no nearer to its target in so many looks, half a second of dom0's time apart, has done what
# it can.
VAIN_LOOKS = 10
LOOK = "usleep 500000"


async def settle(domain: Domain, wanted: int, size: Callable[[], Awaitable[int]]) -> int:
    """Return the `size` of a domU in MiB once it is as wanted, or comes no nearer. Raises what `size` raises."""
    found, nearest, vain = await size(), domain.config.memory, 0
    while found != wanted and vain < VAIN_LOOKS:
        distance = abs(found - wanted)
        vain = vain + 1 if distance >= nearest else 0
        nearest = min(nearest, distance)
        await domain.host.machine.command.run(LOOK)
        found = await size()
    return found
