"""The guest's Perl program does what the C programs do: the same words, files and chain of numbers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.paths import PROJECT
from harness.steps.work import chain

GUEST = PROJECT / "images" / "guest" / "debian" / "guest"


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    link = tmp_path / "witness"
    link.symlink_to(GUEST)
    return link


@pytest.fixture
def works(witness: Path, tmp_path: Path) -> Iterator[dict[str, int]]:
    """Start the endless works, as `starts-work` does; they end with the test."""
    pids = {}
    for name, words in {"counter": [], "timer": [], "disk": [str(tmp_path / "log")]}.items():
        verb = {"disk": "log"}.get(name, name)
        pids[name] = subprocess.Popen([witness, verb, str(tmp_path / name), *words]).pid
        (tmp_path / f"{name}.pid").write_text(f"{pids[name]}\n")
    yield pids
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _run(witness: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(witness), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.usefixtures("works")
def test_works_go_on_and_their_chain_is_right(witness: Path, tmp_path: Path) -> None:
    done = _run(witness, "look", tmp_path, "counter", 30000, "timer", 3, "disk", 2)
    assert done.returncode == 0, done.stderr
    seen = {name: tuple(map(int, numbers)) for name, *numbers in (line.split() for line in done.stdout.splitlines())}
    assert list(seen) == ["counter", "timer", "disk"]
    for name, steps in {"counter": 30000, "timer": 3, "disk": 2}.items():
        assert seen[name][1] - seen[name][0] >= steps
    for name in ("counter", "disk"):
        assert seen[name][2] == chain(seen[name][1])


def test_a_work_that_has_ended_is_told(witness: Path, tmp_path: Path, works: dict[str, int]) -> None:
    (tmp_path / "timer.pid").write_text(f"{2**22 + 1}\n")  # beyond any pid
    (tmp_path / "timer.err").write_text("it had no more time\n")
    assert works
    done = _run(witness, "look", tmp_path, "timer", 3)
    assert (done.returncode, done.stdout) == (1, "timer has ended:\nit had no more time\n")


def test_a_log_is_read_to_its_first_wrong_line(witness: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{count} {chain(count)}\n" for count in range(1, 6)))
    assert _run(witness, "check", log).stdout == "5\n"
    log.write_text(log.read_text().replace(f"4 {chain(4)}", f"4 {chain(4) + 1}"))
    done = _run(witness, "check", log)
    assert done.returncode == 1
    assert done.stdout.startswith("line 4 is 4 ")


def test_memory_that_changed_is_told(witness: Path, tmp_path: Path) -> None:
    file = tmp_path / "filled"
    assert _run(witness, "fill", file, 2, 2**32 - 1).stdout == "2\n"
    assert file.stat().st_size == 2 << 20
    assert _run(witness, "verify", file, 2**32 - 1).stdout == "2\n"
    assert _run(witness, "verify", file, 7).returncode == 1
    with file.open("r+b") as stream:
        stream.seek(5 * 4096 + 17)
        stream.write(b"\xff")
    assert _run(witness, "verify", file, 2**32 - 1).stdout == "page 5 is not as it was written\n"


@pytest.mark.parametrize("words", [(), ("dance",)])
def test_what_it_does_not_know_is_told(witness: Path, words: tuple[str, ...]) -> None:
    done = _run(witness, *words)
    assert done.returncode != 0
    assert "usage: witness" in done.stderr
