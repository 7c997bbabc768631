"""Folders for work that leaves no results: gone when it ends, or by `testbed reap` if it was killed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from base import owner
from base.paths import cache_root


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder that is named after its owner, and remove it at the end. Raises OSError."""
    mark = owner.environment()[owner.MARK]
    folder = _root() / mark.replace(":", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def abandoned() -> list[Path]:
    """Return the folders whose owner no longer lives."""
    root = _root()
    if not root.is_dir():
        return []
    return [folder for folder in root.iterdir() if not owner.owner_lives(folder.name.replace("-", ":"))]


def _root() -> Path:
    return cache_root() / "scratch"
