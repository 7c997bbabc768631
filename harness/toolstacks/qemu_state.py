"""A domU's state moved by its QEMUs: into a file, out of it, and from one process to another."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

from harness.domain import Domain
from harness.toolstacks import Migrated, MigrationFailed, StateRefused
from harness.verbs import StepFailed

# Where a domU waits for another's state. Each waits on a port of its own.
FIRST_PORT = 49152
_ENDED = ("completed", "failed", "cancelled")
# The first version of QEMU that reads and writes a state's file itself (its change log, "Migration").
FILES_SINCE = (8, 2)


async def save(domain: Domain, path: str) -> int:
    """Stop a domU and write its state to a file; returns its bytes. The domU runs on when that fails.

    Raises StepFailed, QmpFailed.
    """
    await domain.qmp.execute("stop")
    outcome = await _send(domain, await _address(domain, ">", path))
    if outcome["status"] != "completed":
        await domain.qmp.execute("cont")
        raise StepFailed(f"{domain.name} was not saved: {_why(outcome)}")
    answer = await domain.host.machine.command.run(f"stat -c %s {path}")
    return int(answer.output)


async def load(domain: Domain, path: str) -> None:
    """Let a waiting QEMU take a state in. Raises StateRefused, with its words, when it refuses."""
    await _events(domain)
    seen = len(domain.qmp.events)
    await domain.qmp.execute("migrate-incoming", uri=await _address(domain, "<", path))
    taken = asyncio.create_task(_finished(domain, seen))
    try:
        await asyncio.wait({taken, domain.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not taken.done() or taken.result() != "completed":
            raise StateRefused(f"{domain.name} was not restored: {await domain.ended}")
    finally:
        taken.cancel()
        await asyncio.wait({taken})


async def move(domain: Domain, target: Domain, address: str) -> Migrated:
    """Move a running domU into a QEMU that waits. Raises MigrationFailed; the domU is then where it was."""
    await _events(target)
    number = FIRST_PORT + int(target.slot.name.removeprefix("slot"))
    await target.qmp.execute("migrate-incoming", uri=f"tcp:0.0.0.0:{number}")
    outcome = await _send(domain, f"tcp:{address}:{number}")
    if outcome["status"] != "completed":
        raise MigrationFailed(f"{domain.name} did not migrate: {_why(outcome)}")
    if await _finished(target, 0) != "completed":
        raise MigrationFailed(f"{domain.name} left, and did not arrive")
    # The source says "completed" when all was sent; the target runs a moment later.
    await target.qmp.event("RESUME")
    return Migrated(
        total=int(outcome["total-time"]), downtime=int(outcome["downtime"]), sent=int(outcome["ram"]["transferred"])
    )


async def _address(domain: Domain, redirection: str, path: str) -> str:
    """Return how this QEMU is told to write a state to a file (`>`), or to read one (`<`)."""
    number = (await domain.qmp.execute("query-version"))["qemu"]
    if (number["major"], number["minor"]) >= FILES_SINCE:
        return f"file:{path}"
    return f"exec:cat {redirection}{shlex.quote(path)}"


async def _send(domain: Domain, uri: str) -> dict[str, Any]:
    """Send a domU's state somewhere and return what QEMU then says of it."""
    await _events(domain)
    seen = len(domain.qmp.events)
    await domain.qmp.execute("migrate", uri=uri)
    await _finished(domain, seen)
    return dict(await domain.qmp.execute("query-migrate"))


async def _events(domain: Domain) -> None:
    await domain.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])


async def _finished(domain: Domain, since: int) -> str:
    event = await domain.qmp.event("MIGRATION", since=since, where=lambda event: event["data"]["status"] in _ENDED)
    return str(event["data"]["status"])


def _why(outcome: dict[str, Any]) -> str:
    return str(outcome.get("error-desc") or outcome["status"])
