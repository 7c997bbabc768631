"""The benchmark of the store, in small: it must find what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import measure


def test_it_measures_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.results.MARGIN", 0)  # the files are read twice then, and nobody waits for their age
    found = measure(tmp_path, cells=200, names=20, real=20, large=42)
    assert (found["matrix"]["cells"], found["matrix"]["different"], found["matrix"]["runs"]) == (200, 20, 10)
    assert found["rebuild"]["equals_the_one_that_grew"]
    # Every 21st cell fails with the other kernel, every 20th did before: 0 with both, 21 is new.
    assert found["compare"]["new_failures"] == 1
