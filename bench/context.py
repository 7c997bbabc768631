"""What every benchmark is given: how much to do, where evidence goes, and whom to tell how far it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.model import Measure, Profile


@dataclass
class Context:
    """One call of `testbed bench`. What went well leaves nothing in `folder`."""

    folder: Path
    platforms: tuple[str, ...]
    repeat: int | None
    tell: Callable[[str], None]
    soak: tuple[int, int]
    measures: list[Measure] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    _count: int = 0

    def times(self, usual: int) -> int:
        """Return how often to measure: what the user asked for, or what is usual here."""
        return self.repeat or usual

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Make a folder for evidence, which is kept only if the block fails."""
        self._count += 1
        path = self.folder / f"{self._count:04d}-{name}"
        path.mkdir(parents=True)
        yield path
        shutil.rmtree(path)

    def add(self, measure: Measure) -> None:
        """Take a measure into the report."""
        self.measures.append(measure)
