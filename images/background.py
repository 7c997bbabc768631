"""Images that are made while other work goes on: whoever needs some waits for just those."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from base.errors import InfraError, TestbedError
from base.progress import Report
from images.api import new_plan
from images.engine import Engine
from images.errors import BuildError
from images.plan import Plan
from images.process import Cancelled
from images.store import Artifact


class Building:
    """Makes `names` in a thread from the start to the end of its block; leaving the block early stops what is left.

    `ready` is called, in that thread, with each artifact before anybody is told of it, and `over` when there is
    nothing left to make; they must not raise.
    """

    def __init__(
        self,
        names: Iterable[str],
        report: Report,
        *,
        ready: Callable[[Artifact], None] = lambda _artifact: None,
        over: Callable[[], None] = lambda: None,
        plan: Plan | None = None,
    ) -> None:
        self._names = list(dict.fromkeys(names))
        self._engine = Engine(plan or new_plan(), report)
        self._ready = ready
        self._when_over = over
        self._news = threading.Condition()
        self._outcomes: dict[str, Artifact | TestbedError] = {}
        self._over = False
        self._thread = threading.Thread(target=self._make, name="images")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.cancel()
        self._thread.join()

    @property
    def over(self) -> bool:
        """Whether nothing is made any more."""
        return self._over

    def wait(self, names: Iterable[str]) -> None:
        """Wait until `names` are there. Raises the TestbedError for which one of them cannot be made."""
        wanted = list(names)
        with self._news:
            self._news.wait_for(lambda: self._over or all(name in self._outcomes for name in wanted))
            for name in wanted:
                outcome = self._outcomes.get(name)
                if outcome is None:
                    raise BuildError(f"image '{name}' was not made: the builds were stopped")
                if isinstance(outcome, TestbedError):
                    raise outcome

    def wait_all(self) -> None:
        """Wait until there is nothing left to make."""
        self._thread.join()

    def _make(self) -> None:
        try:
            self._engine.build_each(self._names, self._ended)
        except Cancelled:
            pass  # the block is being left
        except Exception as error:  # a bug in a build must not leave anybody waiting
            lost = InfraError(f"the builder of images failed: {type(error).__name__}: {error}")
            with self._news:
                self._outcomes = {name: self._outcomes.get(name, lost) for name in self._names}
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()
            self._when_over()

    def _ended(self, name: str, outcome: Artifact | TestbedError) -> None:
        if isinstance(outcome, Artifact):
            self._ready(outcome)
        with self._news:
            self._outcomes[name] = outcome
            self._news.notify_all()
