"""A host's processors and memory, shared out to cells: the largest and longest first, never more than there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from base.errors import InfraError


@dataclass(frozen=True)
class Need:
    """What a cell takes while it runs: vCPU threads and MiB; `cost` is how long it will take, in seconds."""

    cpus: int
    memory: int
    cost: float


@dataclass(eq=False)
class _Request:
    need: Need
    number: int
    granted: bool = False
    began: float = field(default=0.0)


class Pool:
    """Capacity in vCPU threads and MiB. All methods may be called from any thread.

    A cell that needs more than there is counts as needing all, so it runs alone. `available` tells how much memory
    (MiB) the host has just now: somebody else may have taken what was there at the start.
    """

    def __init__(
        self,
        cpus: int,
        memory: int,
        *,
        available: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cpus = cpus
        self.memory = memory
        self._available = available or (lambda: memory)
        self._clock = clock
        self._news = threading.Condition()
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        self._reserved = 0
        self._count = 0
        self._closed = False

    @contextmanager
    def hold(self, need: Need) -> Iterator[None]:
        """Wait until a cell may run, and keep what it needs until the block ends. Raises InfraError after `close`."""
        with self._news:
            self._count += 1
            capped = Need(min(need.cpus, self.cpus), min(need.memory, self.memory), need.cost)
            request = _Request(capped, self._count)
            self._waiting.append(request)
            self._grant()
            try:
                self._news.wait_for(lambda: request.granted or self._closed)
                if not request.granted:
                    raise InfraError("the run is over")
            except BaseException:
                self._forget(request)
                raise
        try:
            yield
        finally:
            with self._news:
                self._forget(request)

    def reserve(self, cpus: int) -> None:
        """Take processors away for other work (builds), or give them back with 0; at least one cell can always run."""
        with self._news:
            self._reserved = cpus
            self._grant()

    def close(self) -> None:
        """Let nobody else begin: who waits is told that the run is over."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _forget(self, request: _Request) -> None:
        for requests in (self._waiting, self._running):
            if request in requests:
                requests.remove(request)
        self._grant()

    def _grant(self) -> None:
        now = self._clock()
        for request in [] if self._closed else self._choose(now):
            self._waiting.remove(request)
            self._running.append(request)
            request.granted, request.began = True, now
        self._news.notify_all()

    def _choose(self, now: float) -> list[_Request]:
        """Return who may begin: the largest and the longest in turn; behind one that does not fit, who ends in time.

        The largest first: while one waits until enough is free, something stands idle.
        """
        free = _Free(self)
        chosen: list[_Request] = []
        queue = sorted(self._waiting, key=lambda r: (-r.need.cpus, -r.need.cost, r.number))
        while queue and free.holds(queue[0].need):
            free.take(queue[0].need)
            chosen.append(queue.pop(0))
        if queue:
            until = self._begins(queue[0].need, [*self._running, *chosen], free, now)
            for request in queue[1:]:
                if now + request.need.cost <= until and free.holds(request.need):
                    free.take(request.need)
                    chosen.append(request)
        return chosen

    def _begins(self, need: Need, running: Sequence[_Request], free: _Free, now: float) -> float:
        """Return when there will be room for `need`, if all that runs takes as long as it is thought to.

        Of what has run longer than that, nothing is known but how long it has run: it may take as long again.
        """
        cpus, memory = free.cpus, free.memory

        def end(request: _Request) -> float:
            began = request.began or now
            thought = began + request.need.cost
            return thought if thought > now else now + (now - began)

        ends = sorted((end(r), r.number, r.need) for r in running)
        for at, _, ended in ends:
            cpus, memory = cpus + ended.cpus, memory + ended.memory
            if cpus >= need.cpus and memory >= need.memory:
                return at
        return now

    def _used(self) -> tuple[int, int]:
        return sum(r.need.cpus for r in self._running), sum(r.need.memory for r in self._running)


class _Free:
    """What is left of a pool while it is being shared out."""

    def __init__(self, pool: Pool) -> None:
        cpus, memory = pool._used()
        self.cpus = pool.cpus - pool._reserved - cpus
        self.memory = pool.memory - memory
        self._now = pool._available()
        self._idle = not pool._running

    def holds(self, need: Need) -> bool:
        # If nothing runs, waiting would be for nothing: whoever comes first begins.
        return self._idle or (need.cpus <= self.cpus and need.memory <= min(self.memory, self._now))

    def take(self, need: Need) -> None:
        self.cpus -= need.cpus
        self.memory -= need.memory
        self._now -= need.memory
        self._idle = False
