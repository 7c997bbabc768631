from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of results, which is the test's own."""
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "state"))
    return tmp_path / "state"
