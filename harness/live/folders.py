"""Where live machines leave their evidence: consoles, QMP, pictures, snapshots."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from base.paths import results_root

LIVE = "live"
LOCK = "lock"
# So many folders are kept; with each new one the oldest that nobody uses go.
KEPT = 20


def live_root() -> Path:
    """Return the folder of all live machines' folders."""
    return results_root() / LIVE


@contextmanager
def live_folder(title: str) -> Iterator[Path]:
    """Make a folder that is named after the moment and `title`; it stays, and is nobody's when the block ends.

    Raises OSError.
    """
    root = live_root()
    root.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{title}"
    for number in itertools.count(1):
        folder = root / (stem if number == 1 else f"{stem}.{number}")
        try:
            folder.mkdir()
            break
        except FileExistsError:
            continue
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _trim(root)
        yield folder
        (folder / LOCK).unlink(missing_ok=True)


def _trim(root: Path) -> None:
    """Remove the oldest folders, but for those in use."""
    for folder in sorted(root.iterdir(), key=lambda path: path.name)[:-KEPT]:
        try:
            lock = os.open(folder / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            # Others may be at it, too, and the next one tries again.
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
        # Whoever made it was killed.
        shutil.rmtree(folder, ignore_errors=True)
