"""A person at a live machine: joined to one of its consoles, until they leave or it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.live.menu import choose
from harness.live.session import Session
from sim.console import Console
from sim.machine import HANG_UP_PATIENCE
from sim.platform import DOM0
from sim.terminal import Keyboard, Screen, join, raw_terminal, say, when_resized


class Person:
    """Who sits at the terminal; `place` is the console that they see."""

    def __init__(self, session: Session, place: str = DOM0) -> None:
        self.session = session
        self.place = place
        self.keyboard = Keyboard()
        self._screen = Screen()
        self._size = (0, 0)
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def console(self) -> Console:
        """The console that the person sees; dom0's if that of a domU has gone."""
        consoles = self.session.consoles()
        if self.place not in consoles:
            self.place = DOM0
        return consoles[self.place]

    def next_name(self) -> str:
        """Return a name for a snapshot that has none."""
        return f"snapshot{len(self.session.snapshots) + 1}"

    async def meet(self) -> None:
        """Stay until the person leaves or the machine is switched off. Raises what QEMU's end means, if it failed."""
        # Raw only while joined: before that, Ctrl-C has to end a boot that takes too long.
        with raw_terminal(), when_resized(self._resized):
            self.keyboard.open()
            try:
                while await self._stay():
                    pass
            finally:
                self.keyboard.close()
                for task in self._telling:
                    task.cancel()
                await asyncio.gather(*self._telling, return_exceptions=True)
        if self.session.machine.process.exited.done():
            raise self.session.machine.process.exited.result().error()

    async def _stay(self) -> bool:
        machine, domain = self.session.machine, self.session.cell.domains.get(self.place)
        joined = asyncio.create_task(join(self.console, self.keyboard, self._screen))
        switched_off = asyncio.create_task(machine.qmp.event("SHUTDOWN"))
        ends: set[asyncio.Future[Any]] = {joined, switched_off, machine.process.exited}
        if domain is not None:
            ends.add(domain.ended)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (joined, switched_off):
                task.cancel()
            await asyncio.wait({joined, switched_off})
        if not switched_off.cancelled():
            say("the machine was switched off")
            return False
        if machine.process.exited.done():
            return False
        if domain is not None and domain.ended.done():
            say(f"{domain.name} ended: {domain.ended.result()}")
            await self.session.forget(domain)
            self.place = DOM0
            return True
        if joined.cancelled() or not joined.result():
            # A console that hangs up is only the symptom if QEMU itself has gone.
            await asyncio.wait({machine.process.exited}, timeout=HANG_UP_PATIENCE)
            return False
        stays = await choose(self)
        if stays:
            self._tell_size()
        return stays

    def _resized(self, rows: int, columns: int) -> None:
        self._size = (rows, columns)
        self._tell_size()

    def _tell_size(self) -> None:
        if not all(self._size) or self.place not in (DOM0, *self.session.cell.domains):
            return
        task = asyncio.create_task(self.session.set_size(self.place, *self._size))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
