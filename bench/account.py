"""A pytest plugin that writes down how much CPU time a worker's children used: they are its QEMUs.

Loaded by PYTEST_ADDOPTS into the pytests of a `testbed run`, so that the run itself is none but the shipped one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.usage import Cpu

# The folder for the accounts, one file for each process.
FOLDER = "TESTBED_BENCH_ACCOUNTS"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the account; a controller's children are workers, and not counted."""
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None):
        (Path(os.environ[FOLDER]) / str(os.getpid())).write_text(str(Cpu.now().children))
