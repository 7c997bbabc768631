"""Results that say nothing about today any more."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from base.errors import UsageError
from results.cli import main
from results.inputs import SPEC, Today, content_digest, inputs_of
from results.matrix import build_matrix
from results.render import markdown
from results.stale import expiry, judge_staleness
from results.store import create_run
from tests.unit.results.builders import NOW, cell, execute, result, spec, stored

FRESH = {"scenario": "s1", "kernel.image": "k1"}


@pytest.mark.parametrize(("days", "stale"), [(0, False), (29.9, False), (30.1, True)])
def test_a_result_expires(days: float, stale: bool) -> None:
    (one,) = judge_staleness([stored("p|p")], now=NOW + timedelta(days=days))
    assert one.stale == (("older than 30 days",) if stale else ())


def test_the_expiry_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert expiry() == timedelta(days=30)
    monkeypatch.setenv("TESTBED_EXPIRY", "0.5")
    assert expiry() == timedelta(hours=12)
    assert expiry(3) == timedelta(days=3)
    for text in ("0", "-1", "soon", "nan", "inf"):
        monkeypatch.setenv("TESTBED_EXPIRY", text)
        with pytest.raises(UsageError, match="TESTBED_EXPIRY"):
            expiry()


@pytest.mark.parametrize(
    ("today", "reasons"),
    [
        (FRESH, ()),
        ({**FRESH, "scenario": "s2"}, ("scenario changed since",)),
        ({**FRESH, "kernel.image": "k2", "scenario": "s2"}, ("kernel.image changed since", "scenario changed since")),
        ({**FRESH, "qemu.image": "not known then"}, ()),
        ({}, ()),
    ],
)
def test_other_inputs_than_todays_make_it_stale(today: dict[str, str], reasons: tuple[str, ...]) -> None:
    one = replace(stored("p|p"), inputs=FRESH)
    (judged,) = judge_staleness([one], Today({cell().id: today}), now=NOW)
    assert judged.stale == reasons
    assert ("yes (stale)" in markdown(build_matrix([judged]))) is bool(reasons)


def test_what_says_nothing_cannot_get_stale() -> None:
    for letters in ("p|i", "s"):
        (one,) = judge_staleness(
            [stored(letters)], Today({cell().id: {"scenario": "other"}}), now=NOW + timedelta(days=900)
        )
        assert one.stale == ()


def test_the_command_says_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    execute(create_run([], root=tmp_path), "p|p", inputs=spec("k1"))
    today = Today({cell().id: {"kernel.image": "k2"}})
    assert main(["--format", "json", "--expiry", "1e5"], lambda: today) == 0
    (one,) = json.loads(capsys.readouterr().out)["cells"]
    assert one["stale"] == ["kernel.image changed since"]
    assert one["inputs"]["kernel.image"] == "k1"
    assert main(["--expiry", "1e5"], lambda: today) == 0
    printed = capsys.readouterr().out
    assert "stale (kernel.image changed since): 1 cell" in printed


def test_inputs_are_read_from_the_run_spec_and_the_facts(tmp_path: Path) -> None:
    made = result("p|p", facts={"testbed.code": "c", "host.cpu": "x", "host.factor": 1.0, "seed": 7})
    (tmp_path / SPEC).write_text(
        json.dumps(
            {
                "cell": {"qemu": "10.0.13"},
                "scenario": {"name": "s", "summary": "words"},
                "kernel": {"name": "k", "digest": "d", "recipe": "r"},
                "kernel-identity": {"release": "6.1", "build-id": "b", "gcc": "12"},
                "loader": None,
                "debugger": {"gdb": {"name": "gdb", "digest": "g"}},
            }
        )
    )
    assert inputs_of(tmp_path, made) == {
        "qemu.version": "10.0.13",
        "scenario": content_digest({"name": "s"}),
        "kernel.image": "d",
        "kernel.recipe": "r",
        "kernel.release": "6.1",
        "kernel.build-id": "b",
        "kernel.gcc": "12",
        "gdb.image": "g",
        "testbed.code": "c",
        "host.cpu": "x",
        "host.factor": "1.0",
    }
    (tmp_path / SPEC).write_text("{")
    assert inputs_of(tmp_path, made) == {"testbed.code": "c", "host.cpu": "x", "host.factor": "1.0"}


def test_words_and_what_is_empty_are_no_content() -> None:
    plain = content_digest({"name": "s", "steps": [{"verb": "boot", "params": {"within": 90.0}}]})
    told = {"name": "s", "summary": "words", "debugger": False, "machine": {"cpus": 0}, "hosts": []}
    assert content_digest({**told, "steps": [{"verb": "boot", "params": {"within": 90.0, "to": None}}]}) == plain
    assert content_digest({"name": "s", "steps": [{"verb": "boot", "params": {"within": 91.0}}]}) != plain
    assert content_digest({}) == ""
