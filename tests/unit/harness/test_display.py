"""What is shown of long work, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from base.progress import Event
from harness.display import Display, duration
from harness.watch import RunWatcher
from results.store import create_run


def _shown(events: list[Event], *, terminal: bool = False) -> str:
    stream = io.StringIO()
    with Display("run", Console(file=stream, force_terminal=terminal, width=100)) as display:
        for event in events:
            display.report(event)
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    text = _shown(
        [
            Event("image a", "running", "compiling", expected=61.0),
            Event("image a", "running", "linking"),
            Event("image a", "done", elapsed=0.25),
            Event("image b", "running"),
            Event("image b", "failed", "no such thing", elapsed=125.0),
            Event("", "notice", "a version has gone"),
        ]
    )
    assert text.splitlines() == [
        "  start image a (took 61 s before)",
        "   done image a (0.2 s)",
        "  start image b",
        " FAILED image b (2:05): no such thing",
        " notice a version has gone",
    ]
    assert "\x1b" not in text


def test_a_terminal_shows_what_is_under_way_and_what_remains() -> None:
    text = _shown([Event("cell x", "waiting", expected=30), Event("cell y", "running", "boots u1")], terminal=True)
    assert "boots u1" in text
    assert "1 running, 1 waiting" in text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.9, "9.9 s"), (12.3, "12 s"), (600, "10:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_journals_of_a_run_are_followed(tmp_path: Path) -> None:
    run = create_run(["test"], root=tmp_path)
    folder = run.directory / "cells" / "s.g5.kvm-pr.fixed"
    folder.mkdir(parents=True)
    events: list[Event] = []
    watcher = RunWatcher(run, events.append)
    journal = (folder / "journal.jsonl").open("a")

    def write(text: str) -> None:
        journal.write(text)
        journal.flush()
        watcher.look()

    write(json.dumps({"kind": "cell-start", "t": 0.0}) + "\n")
    step = json.dumps({"kind": "step-start", "title": "boots u1", "verb": "boots"}) + "\n"
    write(step[:10])
    assert len(events) == 1  # half a line is none
    write(step[10:])
    end = {"kind": "cell-end", "verdict": "fail", "status": "no", "message": "why\nmore", "t": 4.5}
    write(json.dumps(end) + "\n")
    assert [(event.state, event.detail) for event in events] == [
        ("running", "starting"),
        ("running", "boots u1"),
        ("failed", "fail, no (why more)"),
    ]
    assert events[-1].elapsed == 4.5
    # A cell that has ended is not looked at again; a folder may be there before its journal.
    (folder / "journal.jsonl").write_text("no JSON\n" * 1000)
    (run.directory / "cells" / "t.g5.kvm-pr.fixed").mkdir()
    watcher.look()
    assert len(events) == 3
