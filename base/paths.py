"""Where the project and its state live on disk."""

from __future__ import annotations

import os
from pathlib import Path

APP = "ppc-testbed"
PROJECT = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """Return the folder of images, downloads and timings: `TESTBED_CACHE`, or XDG's cache folder."""
    return _root("TESTBED_CACHE", "user_cache_path")


def results_root() -> Path:
    """Return the folder of runs: `TESTBED_RESULTS`, or XDG's state folder."""
    return _root("TESTBED_RESULTS", "user_state_path")


def _root(variable: str, function: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named).expanduser().absolute()
    import platformdirs  # noqa: PLC0415  (lazy: `--help` stays quick)

    return Path(getattr(platformdirs, function)(APP))
