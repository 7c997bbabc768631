"""A person's dialogue at a console, held by pexpect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pexpect
import pexpect.fdpexpect
from pydantic import model_validator

from base.errors import TestbedError
from base.yamlmodel import Model
from sim.console import Console


class DialogueEnded(TestbedError):
    """The console was closed in the middle of a dialogue."""


class Exchange(Model):
    """One turn: text to `send`, or a regular expression to `expect` on the screen."""

    send: str | None = None
    expect: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Exchange:
        if (self.send is None) == (self.expect is None):
            raise ValueError("a turn is either `send` or `expect`")
        return self


async def hold(console: Console, lines: Sequence[Exchange]) -> None:
    """Go through a dialogue on `console`. Has no deadline of its own. Raises DialogueEnded."""
    # pexpect wants a descriptor; the console stays the reader of its own, and keeps the log.
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    outgoing: asyncio.Queue[bytes] = asyncio.Queue()

    async def to_pexpect() -> None:
        while True:
            await loop.sock_sendall(ours, await outgoing.get())

    async def from_pexpect() -> None:
        while data := await loop.sock_recv(ours, 4096):
            console.send(data)

    end_tap = console.tap(outgoing.put_nowait)
    pumps = [asyncio.create_task(to_pexpect()), asyncio.create_task(from_pexpect())]
    person = pexpect.fdpexpect.fdspawn(theirs.detach(), encoding=None)
    try:
        for turn in lines:
            if turn.send is not None:
                person.send(turn.send.encode())
            else:
                assert turn.expect is not None
                await person.expect([turn.expect.encode()], timeout=None, async_=True)
    except (pexpect.EOF, OSError) as error:
        raise DialogueEnded(f"console {console.name} ended in the middle of a dialogue") from error
    finally:
        end_tap()
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)
        ours.close()
        _close(person)
        await asyncio.sleep(0)  # lets the transport go, and the descriptor with it


def _close(person: pexpect.fdpexpect.fdspawn[Any]) -> None:
    """Close pexpect's descriptor once: through the transport that its first asynchronous wait made, if any."""
    made = getattr(person, "async_pw_transport", None)
    if made is not None:
        made[1].close()
    else:
        person.close()
