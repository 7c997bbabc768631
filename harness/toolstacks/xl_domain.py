"""A domU of Xen's, and what dom0 is told to do with it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from harness.domain import Domain
from harness.host import Host
from harness.verbs import StepFailed
from sim.console import Console
from sim.errors import HostStarved
from sim.shell import Answer

# How many lines of xl's are told, and one that is always there (xl_config.CHANNELS).
SAID = 3
_NOISE = "libxl: error: libxl_console.c"
# What libxl says when something took longer than it waits: its ERROR_TIMEDOUT is -9 (tools/libs/light/libxl_types.idl).
_GAVE_UP = re.compile(r"rc=-9\b|: -9$|because of timeout|timed out", re.MULTILINE)


@dataclass
class XlDomain(Domain):
    """A domU of Xen's: its number, which another boot changes, and the port with the news of it."""

    number: int = 0
    events: Console | None = None
    plugged: dict[str, str] | None = None

    @property
    def consoles(self) -> tuple[Console, ...]:
        """All of dom0's ports that are read for it."""
        assert self.events is not None
        return (*super().consoles, self.events)

    async def told(self, pattern: str) -> int:
        """Wait until dom0 says of the domU what the pattern says, with a number. Raises ConsoleClosed."""
        assert self.events is not None
        return int((await self.events.expect(rf"{pattern} (\d+)\r?\n")).groups[0])


def own(domain: Domain) -> XlDomain:
    """Return a domU of this toolstack as what it is."""
    assert isinstance(domain, XlDomain)
    return domain


async def xl(domain: Domain, command: str, *words: str) -> str:
    """Let `xl` do something with a domU; returns what it printed. Raises StepFailed."""
    number = str(own(domain).number)
    return await must(domain.host, shlex.join(["xl", command, number, *words]))


async def ask(host: Host, script: str) -> Answer:
    """Run a script in dom0. Raises HostStarved when libxl gave up, and it was the host that had no time meanwhile."""
    before = host.machine.usage
    answer = await host.machine.command.run(script)
    used = host.machine.usage.since(before)
    if answer.status != 0 and _GAVE_UP.search(answer.output) and used.starved > used.ran:
        raise HostStarved(
            f"libxl waits by the clock, and the host is too busy for it ({used.ran:.1f} s of CPU used, "
            f"{used.starved:.1f} s waited for one): {said(answer)}",
            hint=HostStarved.ADVICE,
        )
    return answer


async def must(host: Host, script: str) -> str:
    """Run a script in dom0 that must succeed; returns what it printed. Raises StepFailed, HostStarved."""
    answer = await ask(host, script)
    if answer.status != 0:
        raise StepFailed(
            f"{host.name}: `{script.partition(chr(10))[0][:60]}` ended with {answer.status}: {said(answer)}"
        )
    return answer.output.strip()


def said(answer: Answer) -> str:
    """Return in a line what a command of `xl` said went wrong."""
    # What is wrong comes first, what follows from it behind; between them may be much about what went well.
    lines = [line.strip() for line in answer.output.strip().splitlines() if not line.startswith(_NOISE)]
    wrong = [line for line in lines if "error" in line.lower()]
    return "; ".join(wrong[:SAID] or lines[-SAID:]) or "it said nothing"
