"""What long work tells about itself. Producers call a `Report`; how it looks is the command line's affair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["waiting", "running", "done", "failed", "notice"]


@dataclass(frozen=True)
class Event:
    """One piece of news about one task.

    `task` identifies it ("image linux-970-fixed"), `detail` is a short phrase for a person
    ("compiling", "downloading 88 packages"), `expected` is how long the task took before in seconds
    (None: never done here), `elapsed` how long it has taken, in seconds, once it is done or failed.
    A `notice` is a line that must stay visible and belongs to no state.
    """

    task: str
    state: State
    detail: str = ""
    expected: float | None = None
    elapsed: float | None = None


Report = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Be a report that nobody reads."""
