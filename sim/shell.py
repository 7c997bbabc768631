"""Commands over a console: an answer is told from an echo, and ready means answered."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass

from sim.console import Console

HELLO = "testbed: channel open"


@dataclass(frozen=True)
class Answer:
    """What a command gave: its exit status and all it printed (stdout and stderr in their order)."""

    status: int
    output: str


class Shell:
    """A Bourne shell at the other end of a console. Waits have no deadline: the machine puts one around them."""

    def __init__(self, console: Console) -> None:
        self.console = console

    async def hello(self) -> None:
        """Wait until the guest says that it has opened the channel. This is not readiness; `challenge` is."""
        await self.console.expect(HELLO)

    async def challenge(self) -> None:
        """Send a fresh sum in and wait for its computed result, which an echo cannot contain."""
        left, right = secrets.randbelow(90000) + 10000, secrets.randbelow(90000) + 10000
        self.console.send(f'echo "<$(({left}*{right}))>"\n')
        await self.console.expect(f"<{left * right}>")

    async def run(self, command: str) -> Answer:
        """Run a command, however many lines it has, with no input, and return its answer.

        Raises ConsoleClosed, ConsoleOverflow.
        """
        token = secrets.token_hex(4)
        # The marks are printed from two halves: the command, echoed, does not contain them whole. There is no process
        # but one for the command, because a domU of an emulated machine takes a tenth of a second for each.
        self.console.send(
            f"printf '%s%s\\n' '<{token}' ':'; "
            f"( eval {shlex.quote(command)} ) </dev/null 2>&1; "
            f"printf '%s%s%d>\\n' '{token}' ':' $?\n"
        )
        await self.console.expect(rf"<{token}:\r?\n")
        end = await self.console.expect(rf"{token}:(\d+)>\r?\n")
        return Answer(int(end.groups[0]), end.before.decode(errors="replace").replace("\r\n", "\n"))
