"""Who may run beside whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from harness.pool import Need, Pool

PATIENCE = 10.0


class Crowd:
    """Cells in threads of their own; each runs until it is told to end."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.began: list[str] = []
        self.most = 0
        self._running: dict[str, int] = {}
        self._news = threading.Condition()
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def arrive(self, name: str, cpus: int = 1, memory: int = 1, cost: float = 1.0) -> None:
        """Let a cell ask, and return when it runs or waits."""
        need = Need(cpus, memory, cost)
        self._ends[name] = threading.Event()
        before = len(self.pool._waiting) + len(self.began)
        thread = threading.Thread(target=self._cell, args=(name, need))
        self._threads.append(thread)
        thread.start()
        with self._news:
            assert self._news.wait_for(lambda: len(self.pool._waiting) + len(self.began) > before, PATIENCE)

    def _cell(self, name: str, need: Need) -> None:
        hold = self.pool.hold(need)
        ticker = threading.Timer(0.05, self._tell)
        ticker.start()
        with hold:
            with self._news:
                self.began.append(name)
                self._running[name] = need.cpus
                self.most = max(self.most, sum(self._running.values()))
                self._news.notify_all()
            assert self._ends[name].wait(PATIENCE)
            with self._news:
                del self._running[name]

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def end(self, name: str, then: int) -> None:
        """End a cell, and wait until `then` have begun in all."""
        self._ends[name].set()
        with self._news:
            assert self._news.wait_for(lambda: len(self.began) >= then, PATIENCE), self.began

    def finish(self) -> None:
        for event in self._ends.values():
            event.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def crowd(request: pytest.FixtureRequest) -> Callable[..., Crowd]:
    def make(cpus: int = 2, memory: int = 100, **rest: Callable[[], float]) -> Crowd:
        made = Crowd(Pool(cpus, memory, **rest))  # type: ignore[arg-type]
        request.addfinalizer(made.finish)
        return made

    return make


def test_no_more_vcpus_than_processors_and_the_longest_of_the_waiting_first(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=2)
    cells.arrive("a", cost=50)
    cells.arrive("b", cost=50)
    cells.arrive("short", cost=5)
    cells.arrive("long", cost=40)
    assert cells.began == ["a", "b"]
    cells.end("a", then=3)
    assert cells.began == ["a", "b", "long"]
    cells.end("b", then=4)
    assert cells.began == ["a", "b", "long", "short"]
    assert cells.most == 2


def test_memory_is_a_limit_too(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=8, memory=100)
    cells.arrive("a", memory=60)
    cells.arrive("b", memory=50)
    assert cells.began == ["a"]
    cells.end("a", then=2)


def test_a_cell_that_is_larger_than_the_host_runs_alone(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=2)
    cells.arrive("small")
    cells.arrive("huge", cpus=4, memory=900, cost=9)
    cells.arrive("other", cost=3)
    assert cells.began == ["small"]
    cells.end("small", then=2)
    assert cells.began == ["small", "huge"]
    cells.end("huge", then=3)
    assert cells.began == ["small", "huge", "other"]


def test_behind_a_large_one_only_who_does_not_delay_it_slips_in(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=2, clock=lambda: 0.0)
    cells.arrive("running", cost=30)
    cells.arrive("large", cpus=2, cost=60)
    cells.arrive("too-long", cost=31)
    assert cells.began == ["running"]
    cells.arrive("quick", cost=29)
    cells.finish()
    assert cells.began[:2] == ["running", "quick"]


def test_beside_one_that_takes_longer_than_thought_the_others_do_not_stand_still(crowd: Callable[..., Crowd]) -> None:
    now = [100.0]
    cells = crowd(cpus=2, clock=lambda: now[0])
    cells.arrive("running", cost=10)
    cells.arrive("large", cpus=2, cost=90)
    now[0] = 160.0
    cells.arrive("too-long", cost=61)
    assert cells.began == ["running"]
    cells.arrive("quick", cost=59)
    cells.finish()
    assert cells.began[:2] == ["running", "quick"]


def test_builds_take_their_part_but_one_cell_can_always_run(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=2)
    cells.pool.reserve(2)
    cells.arrive("a")
    cells.arrive("b")
    assert cells.began == ["a"]
    cells.pool.reserve(0)
    cells.end("a", then=2)


def test_memory_that_others_took_meanwhile_is_not_given_out(crowd: Callable[..., Crowd]) -> None:
    cells = crowd(cpus=8, memory=100, available=lambda: 30)
    cells.arrive("a", memory=40)  # nothing runs: it would wait for ever
    cells.arrive("b", memory=40)
    assert cells.began == ["a"]


def test_what_is_interrupted_while_it_waits_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(1, 100)
    with ExitStack() as stack:
        stack.enter_context(pool.hold(Need(1, 1, 1)))

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(pool._news, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt), pool.hold(Need(1, 1, 1)):
            pass
    assert not pool._waiting
    assert not pool._running
