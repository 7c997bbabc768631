"""Verbs that bring a domain up to answering, and that ask it something."""

from __future__ import annotations

import re
import secrets

from pydantic import Field

from harness.cell import Cell
from harness.dialogue import Exchange, hold
from harness.missed import dom0_speaks
from harness.verbs import Pattern, Seconds, StepFailed, StepParams, verb
from sim.platform import DOM0

# A busybox shell's prompt for root, as the initramfs of dom0 and domU shows it.
PROMPT = r"/ # "
CHALLENGE_WITHIN = 15.0
# A domain that boots and prints nothing for so long (s of a calm host) hangs. The longest silence of 80 boots that
# succeeded was 13 s on the clock (a domU's firmware, on a host with three times more work than processors).
SILENCE = 45.0
BOOT_WITHIN = 90.0
EXCERPT = 400


class BootParams(StepParams):
    """Parameters of `boot-dom0`: which of the scenario's `hosts`."""

    host: str = DOM0
    within: Seconds = BOOT_WITHIN


class DomainParams(StepParams):
    """Parameters of verbs that need to know only the domain."""

    domain: str


class BootsParams(DomainParams):
    """Parameters of `boots`."""

    within: Seconds = 120.0


class RunParams(DomainParams):
    """Parameters of `run`: a shell command, the exit status it must have, what its output must match."""

    command: str = Field(min_length=1)
    status: int = 0
    prints: Pattern | None = None


class ShowedParams(DomainParams):
    """Parameters of `console-showed`: a regular expression."""

    text: Pattern


class DialogueParams(DomainParams):
    """Parameters of `dialogue`: what a person at console 0 types and sees, in turn."""

    lines: tuple[Exchange, ...] = Field(min_length=1)


@verb("boot-dom0", shorthand="host")
async def boot_dom0(cell: Cell, params: BootParams) -> str:
    """Switch the simulated machine on and wait until dom0 answers on its command channel."""
    name = params.host
    machine = await cell.start_machine(name)
    cell.fact("qemu", machine.version)
    opens = f"{name} opens its command channel"
    silence = boot_silence(cell, params.within)
    await cell.wait(opens, dom0_speaks(cell, machine), params.within, domain=name, silence=silence)
    await cell.wait(f"{name} answers", machine.command.challenge(), CHALLENGE_WITHIN, domain=name)
    return f"QEMU {machine.version}"


def boot_silence(cell: Cell, within: float = BOOT_WITHIN) -> float:
    """Return how long (s of a calm host) a machine that boots may say nothing.

    Who gives a slow loader more time expects it to be silent longer (OpenBIOS reads a disk for half a minute, and
    what has no initramfs is read sooner).
    """
    own = cell.hypervisor.boot.silence
    if within <= BOOT_WITHIN:
        return own or SILENCE
    return SILENCE if own else within / 2


@verb("boots", shorthand="domain")
async def boots(cell: Cell, params: BootsParams) -> None:
    """Wait until a domU that was created answers on its command channel."""
    shell = cell.domain(params.domain).command
    opens = f"{params.domain} opens its command channel"
    await cell.wait(opens, shell.hello(), params.within, domain=params.domain, silence=SILENCE)
    await cell.wait(f"{params.domain} answers", shell.challenge(), CHALLENGE_WITHIN, domain=params.domain)


@verb("answers", shorthand="domain")
async def answers(cell: Cell, params: DomainParams) -> None:
    """Send a fresh sum to a domain's command channel and read its computed result back."""
    shell = cell.shell(params.domain)
    await cell.wait(f"{params.domain} answers", shell.challenge(), params.within, domain=params.domain)


@verb("console-answers", shorthand="domain")
async def console_answers(cell: Cell, params: DomainParams) -> str:
    """Type a fresh sum at console 0 as a person would, and read its computed result there."""
    left, right = secrets.randbelow(900) + 100, secrets.randbelow(900) + 100
    lines = (
        Exchange(send="\n"),
        Exchange(expect=PROMPT),
        Exchange(send=f"echo [$(({left} * {right}))]\n"),
        Exchange(expect=rf"\[{left * right}\]"),
    )
    await cell.wait(
        f"{params.domain}'s console answers",
        hold(cell.console(params.domain), lines),
        params.within,
        domain=params.domain,
    )
    return f"typed {left} * {right}, read {left * right}"


@verb("dialogue")
async def dialogue(cell: Cell, params: DialogueParams) -> None:
    """Hold a dialogue at a domain's console 0: `send` is typed, `expect` is waited for."""
    what = f"the dialogue at {params.domain}'s console"
    await cell.wait(what, hold(cell.console(params.domain), params.lines), params.within, domain=params.domain)


@verb("console-showed")
async def console_showed(cell: Cell, params: ShowedParams) -> str:
    """Look for a text among all that a domain's console 0 has shown since it was switched on."""
    shown = cell.console(params.domain).log_path.read_bytes().decode(errors="replace")
    found = re.search(params.text, shown)
    if found is None:
        raise StepFailed(f"{params.domain}'s console has shown nothing that matches /{params.text}/")
    return found[0]


@verb("run")
async def run(cell: Cell, params: RunParams) -> str:
    """Run a shell command in a domain and check its exit status and what it prints."""
    answer = await cell.run(params.domain, params.command, params.within)
    output = answer.output.strip()
    shown = output if len(output) <= EXCERPT else f"...{output[-EXCERPT:]}"
    if answer.status != params.status:
        raise StepFailed(f"`{params.command}` ended with {answer.status}, not {params.status}; it printed: {shown}")
    if params.prints is not None and not re.search(params.prints, answer.output):
        raise StepFailed(f"`{params.command}` printed nothing that matches /{params.prints}/, but: {shown}")
    return shown
