"""QMP by qemu.qmp, with a transcript and events that cannot be missed."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError

from sim.errors import QmpFailed


class Qmp:
    """One QMP session over a connected socket. Everything said goes to `transcript` (JSON lines)."""

    def __init__(self, name: str, transcript: Path, *, began: float) -> None:
        self.name = name
        self.events: list[dict[str, Any]] = []
        self._client = QMPClient(name)
        self._transcript = transcript.open("a")
        self._began = began
        self._news = asyncio.Condition()
        self._listener = EventListener()
        self._listening: asyncio.Task[None] | None = None

    async def connect(self, end: socket.socket, *, greets: bool = True) -> dict[str, Any]:
        """Take the greeting and negotiate. Returns the greeting's `QMP` object. Raises QmpFailed.

        A QEMU that was saved and resumed has greeted somebody before, and negotiated: it no longer `greets`.
        """
        self._client.await_greeting = self._client.negotiate = greets
        self._client.register_listener(self._listener)
        try:
            await self._client.connect(end)
        except (QMPError, OSError) as error:
            raise QmpFailed(f"QMP {self.name}: no session: {error}") from error
        self._listening = asyncio.create_task(self._listen(), name=f"qmp-{self.name}")
        greeting: dict[str, Any] = self._client.greeting._asdict() if self._client.greeting else {}
        # The one place where this clock and the world's are told together.
        self._write({"greeting": greeting, "wall": datetime.now(UTC).isoformat(timespec="milliseconds")})
        return dict(greeting.get("QMP", {}))

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command and return its `return` value. Keys with `_` are sent with `-`. Raises QmpFailed."""
        self._write({"execute": command, "arguments": _sent(arguments)})
        try:
            answer = await self.probe(command, **arguments)
        except QmpFailed as error:
            self._write({"error": str(error.__cause__)})
            raise
        self._write({"return": answer})
        return answer

    async def probe(self, command: str, **arguments: Any) -> Any:
        """Do as `execute`, but leave no trace in the transcript, where what asks each second would bury the rest."""
        try:
            return await self._client.execute(command, _sent(arguments) or None)
        except ExecuteError as error:
            raise QmpFailed(f"QMP {self.name}: {command}: {error}", kind=error.error_class) from error
        except (QMPError, OSError) as error:
            raise QmpFailed(f"QMP {self.name}: {command}: the session ended: {error}") from error

    async def hand_over(self, name: str, descriptor: int) -> None:
        """Give QEMU a descriptor, which its commands then know by a name. Raises QmpFailed."""
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise QmpFailed(f"QMP {self.name}: no descriptor can be sent: {error}") from error
        await self.execute("getfd", fdname=name)

    async def event(
        self, name: str | tuple[str, ...], *, since: int = 0, where: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Wait for an event called `name`, or one of several.

        Those from number `since` of `events` on count, past ones included.
        """

        names = (name,) if isinstance(name, str) else name

        def find() -> dict[str, Any] | None:
            for event in self.events[since:]:
                if event["event"] in names and (where is None or where(event)):
                    return event
            return None

        async with self._news:
            await self._news.wait_for(lambda: find() is not None)
            found = find()
        assert found is not None
        return found

    async def reset(self, *, reboots: bool = False) -> None:
        """Reset the machine; then a reset from inside shuts it down again, unless it `reboots`. Raises QmpFailed."""
        await self.execute("set-action", reboot="reset")
        seen = len(self.events)
        await self.execute("system_reset")
        await self.event("RESET", since=seen)
        if not reboots:
            await self.execute("set-action", reboot="shutdown")

    async def close(self) -> None:
        """End the session; what QEMU had still to say is lost. Never raises for a peer that is gone."""
        try:
            await self._client.disconnect()
        except (QMPError, OSError, EOFError) as error:
            self._write({"note": f"the session had ended: {error}"})
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        self._transcript.close()

    async def _listen(self) -> None:
        async for message in self._listener:
            event = dict(message)
            self._write(event)
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    def _write(self, entry: dict[str, Any]) -> None:
        self._transcript.write(json.dumps({"t": round(time.monotonic() - self._began, 4), **entry}) + "\n")
        self._transcript.flush()


def _sent(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in arguments.items()}
