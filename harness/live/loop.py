"""An event loop in a thread of its own, for programs that wait as programs do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Loop:
    """A running loop. What it starts dies with its thread, so it is kept until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="testbed", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work` and return what it returns; Ctrl-C cancels it. Raises what it raises."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop, which has nothing left to do. May be called again."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class Held(Generic[T]):
    """An asynchronous context that is entered here and left elsewhere, in the one task that asyncio wants for both."""

    def __init__(self, loop: Loop, context: AbstractAsyncContextManager[T]) -> None:
        self._loop = loop
        self._context = context
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def enter(self) -> T:
        """Enter the context and return its value. Raises what entering it raises."""
        return self._loop.do(self._enter())

    def leave(self) -> None:
        """Leave it. Raises what leaving it raises. May be called again."""
        self._loop.do(self._end())

    async def _enter(self) -> T:
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(entered), name="held")
        self._task.add_done_callback(lambda task: _pass_on(task, entered))
        return await entered

    async def _hold(self, entered: asyncio.Future[T]) -> None:
        async with self._context as value:
            entered.set_result(value)
            await self._leave.wait()

    async def _end(self) -> None:
        self._leave.set()
        if self._task is not None:
            task, self._task = self._task, None
            await task


def _pass_on(task: asyncio.Task[None], entered: asyncio.Future[T]) -> None:
    """Let whoever waits to enter know that there was an end before that."""
    if entered.done():
        return
    if task.cancelled():
        entered.cancel()
    else:
        entered.set_exception(task.exception() or RuntimeError("the context ended before it was entered"))
