"""What a person can do to a live machine from its console: the escape key's menu."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import TestbedError
from harness.domain import DomainConfig
from harness.live import qmp_line
from harness.live.wish import DOMU
from sim.platform import DOM0
from sim.terminal import ESCAPE, say

if TYPE_CHECKING:
    from harness.live.person import Person


@dataclass(frozen=True)
class Action:
    """One key of the menu. What it does returns whether the person stays."""

    key: str
    text: str
    act: Callable[[Person], Awaitable[bool]]


async def choose(person: Person) -> bool:
    """Show the menu, and do what the next key says; returns whether the person stays. Trouble is told, not raised."""
    say(f"{person.place}: a key, or Enter to go back")
    say("\n".join(f"  {action.key}  {action.text}" for action in ACTIONS))
    key = await person.keyboard.key()
    if key in (b"", ESCAPE):
        return False
    action = next((action for action in ACTIONS if action.key.encode() == key), None)
    if action is None:
        return True
    try:
        return await action.act(person)
    except TestbedError as error:
        say(str(error))
        return True


async def _leave(_: Person) -> bool:
    return False


async def _literal(person: Person) -> bool:
    person.console.send(ESCAPE)
    return True


async def _qmp(person: Person) -> bool:
    say("QMP; `help` shows what can be typed, an empty line goes back")
    while line := await person.keyboard.line("(QMP) "):
        try:
            text = await qmp_line.execute(person.session.machine.qmp, line)
        except TestbedError as error:
            text = str(error)
        say(text)
    return True


async def _screenshot(person: Person) -> bool:
    say(f"picture: {await person.session.screenshot()}")
    return True


async def _save(person: Person) -> bool:
    name = await person.keyboard.line(f"name of the snapshot [{person.next_name()}]: ")
    if name is None:
        return True
    kept = await person.session.save(Path(name or person.next_name()).name)
    say(f"saved as '{kept.folder.name}'; the machine goes on")
    return True


async def _resume(person: Person) -> bool:
    known = list(person.session.snapshots)
    last = known[-1] if known else ""
    name = await person.keyboard.line(f"resume which of {', '.join(known) or '(none)'} [{last}]: ")
    if name is None:
        return True
    await person.session.resume(name or last)
    say(f"as it was at '{name or last}'")
    return True


async def _break(person: Person) -> bool:
    await person.session.send_break()
    return True


async def _sysrq(person: Person) -> bool:
    say("SysRq: which key? (h shows them all)")
    key = await person.keyboard.key()
    if key.isalnum():
        await person.session.send_break(key.decode())
    return True


async def _pause(person: Person) -> bool:
    if await person.session.running():
        await person.session.pause()
        say("the machine stands still; the same key lets it go on")
    else:
        await person.session.go_on()
        say("the machine runs")
    return True


async def _other(person: Person) -> bool:
    names = list(person.session.consoles())
    person.place = names[(names.index(person.place) + 1) % len(names)] if person.place in names else DOM0
    say(f"this is {person.place}; there are: {', '.join(names)}")
    return True


async def _create(person: Person) -> bool:
    config = DomainConfig(name=DOMU, memory=person.session.cell.hypervisor.domu.memory)
    await person.session.create(config)
    person.place = DOMU
    return True


async def _where(person: Person) -> bool:
    say(f"scroll-back and all that was said: {person.session.folder}")
    say(f"this console: {person.console.log_path}")
    return True


ACTIONS = (
    Action("q", "power off and leave (or the escape key again)", _leave),
    Action("]", "send Ctrl-] itself", _literal),
    Action("m", "QMP prompt", _qmp),
    Action("p", "pause, or go on", _pause),
    Action("s", "save a snapshot here", _save),
    Action("r", "resume a snapshot", _resume),
    Action("i", "screenshot (image)", _screenshot),
    Action("b", "send a break", _break),
    Action("y", "SysRq, and which", _sysrq),
    Action("2", "the next console: dom0, domUs, dom0's second one", _other),
    Action("d", "create a domU, and go to its console", _create),
    Action("l", "where the log is", _where),
)
