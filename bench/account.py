"""A pytest plugin that writes down the CPU time of a worker, and of its children: they are its QEMUs.

Loaded by PYTEST_ADDOPTS into the pytests of a `testbed run`, so that the run itself is none but the shipped one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.usage import Cpu

# The folder for the accounts, one file for each process.
FOLDER = "TESTBED_BENCH_ACCOUNTS"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the account; a controller's children are workers, and not counted."""
    works = hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None)
    if works:
        now = Cpu.now()
        account = {"own": now.own, "children": now.children}
        (Path(os.environ[FOLDER]) / str(os.getpid())).write_text(json.dumps(account))
