"""The fixture that all tests of images use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.images.fake_project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    return Project(tmp_path)
