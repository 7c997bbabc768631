from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import doctor
from harness.doctor import Check, examine, main
from harness.hosttools import Tool


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))
    # A mirror that refuses at once: what is tested must not depend on the network.
    monkeypatch.setenv("TESTBED_MIRROR", "http://127.0.0.1:9/nothing")
    return tmp_path


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_everything_is_examined(folders: Path) -> None:
    found = by_name(examine())
    assert {"python", "setpriv", "cache folder", "disk space", "memory", "Debian keyring", "Debian mirror"} <= set(
        found
    )
    assert found["python"].ok
    assert found["cache folder"].found == str(folders / "cache")
    assert not found["Debian mirror"].ok
    assert "TESTBED_MIRROR" in found["Debian mirror"].step


def test_what_is_missing_comes_with_a_next_step(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "needed", lambda _: [Tool("testbed-gadget", "gadget", "turns things")])
    monkeypatch.setattr(doctor, "DISK", 1 << 60)
    monkeypatch.setattr(doctor, "MEMORY", 1 << 60)
    (folders / "file").touch()
    monkeypatch.setenv("TESTBED_RESULTS", str(folders / "file"))
    found = by_name(examine())
    for name, step in (
        ("testbed-gadget", "apt-get install gadget"),
        ("disk space", "TESTBED_CACHE"),
        ("memory", "-n 1"),
        ("results folder", "TESTBED_RESULTS"),
    ):
        assert not found[name].ok, name
        assert step in found[name].step


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 3)])
def test_the_report_in_both_forms(
    ok: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Check("gadget", ok, "[bold]1.0", "apt-get install gadget")])
    assert main([]) == code
    shown = capsys.readouterr().out
    assert "[bold]1.0" in shown
    assert ("everything is there" in shown) is ok
    assert ("apt-get install gadget" in shown) is not ok
    assert main(["--json"]) == code
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["ok"] is ok


def test_a_check_that_breaks_does_not_hide_the_others(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> list[Tool]:
        raise OSError("no such list")

    monkeypatch.setattr(doctor, "needed", broken)
    found = by_name(examine())
    assert found["programs"].found == "no such list"
    assert "memory" in found
