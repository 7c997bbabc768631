from __future__ import annotations

import fcntl
import importlib.machinery
import importlib.util
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from base.errors import InfraError, UsageError
from base.paths import PROJECT, cache_root
from harness import environment
from harness.commands import test as rings
from harness.hosttools import VENV, Tool, apt_get, ensure, needed, read_packages

LAUNCHER = PROJECT / "testbed"


def launch(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher as a fresh machine would: Python without any installed package, an empty cache."""
    return subprocess.run(
        [sys.executable, "-S", str(LAUNCHER), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "TESTBED_CACHE": "/nonexistent/cache", **variables},
    )


@pytest.fixture
def launcher() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("testbed_launcher", str(LAUNCHER))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_help_needs_nothing_but_python() -> None:
    done = launch("--help")
    assert done.returncode == 0
    assert "run " in done.stdout
    assert "--no-install" in done.stdout
    assert done.stderr == ""


def test_help_imports_little(launcher: ModuleType) -> None:
    text = "import sys, runpy; sys.argv[1:] = ['--help']\ntry: runpy.run_path(%r, run_name='__main__')\n"
    text += "except SystemExit: print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", text % str(LAUNCHER)], capture_output=True, text=True, check=True
    )
    for heavy in ("pydantic", "rich", "yaml", "asyncio", "subprocess", "multiprocessing"):
        assert f"'{heavy}'" not in done.stdout


def test_no_command_shows_the_commands_and_is_a_mistake() -> None:
    done = launch()
    assert done.returncode == 2
    assert "matrix" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
        (["--frobnicate"], "unknown command '--frobnicate'"),
        (["test", "untt"], "unknown ring 'untt'; did you mean 'unit'?"),
        (["test", "-x"], "unknown option '-x'"),
    ],
)
def test_a_slip_of_the_finger_installs_nothing(words: list[str], says: str) -> None:
    done = launch(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_no_install_only_says_what_is_missing(tmp_path: Path) -> None:
    done = launch("list", "--no-install", TESTBED_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 3
    assert "Python environment" in done.stderr
    assert not (tmp_path / "cache").exists()
    done = launch("--no-install", "run", PATH="/nonexistent", TESTBED_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 3
    assert "apt-get install -y --no-install-recommends" in done.stderr
    assert "setpriv" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_a_bisection_takes_no_trouble_of_the_launcher_s_for_a_bad_commit(tmp_path: Path) -> None:
    """Without packages or an environment, `git bisect run` is to stop: 3 would be `bad` to it."""
    done = launch("--no-install", "run", "--bisect", PATH="/nonexistent", TESTBED_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 128
    assert "apt-get install" in done.stderr


@pytest.mark.parametrize(
    ("words", "tools"),
    [
        ("run", True),
        ("run domu-boot -p g5", True),
        ("run --help", False),
        ("run -- --help", True),
        ("boot g5", True),
        ("images build", True),
        ("images list", False),
        ("test", True),
        ("test unit", True),
        ("test lint types", False),
        ("test --help", False),
        ("matrix", False),
        ("doctor", False),
        ("list", False),
    ],
)
def test_only_what_builds_or_boots_needs_the_hosts_programs(launcher: ModuleType, words: str, tools: bool) -> None:
    assert launcher.needs_tools(words.split()) is tools


@pytest.mark.parametrize(
    ("words", "browser"),
    [("test", True), ("test integration", True), ("test unit lint", False), ("run", False), ("boot g5", False)],
)
def test_only_the_integration_ring_needs_a_browser(launcher: ModuleType, words: str, browser: bool) -> None:
    assert launcher.needs_browser(words.split()) is browser


def test_packages_are_read(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("# header\n\ngcc  gcc   compiles things  # really\nld binutils links\n")
    assert read_packages(path) == [Tool("gcc", "gcc", "compiles things"), Tool("ld", "binutils", "links")]
    path.write_text("gcc gcc compiles\nld binutils\n")
    with pytest.raises(InfraError, match=r"packages\.txt:2: a line is"):
        read_packages(path)
    with pytest.raises(InfraError, match="cannot read"):
        read_packages(tmp_path / "absent")


def test_the_projects_own_list_is_sound() -> None:
    tools = needed(PROJECT)
    assert tools[0].package == "python3-venv"
    assert len({tool.command for tool in tools}) == len(tools) > 5


def fake_apt(folder: Path, command: str, code: int = 0) -> None:
    """Make an `apt-get` that "installs" `command` into its own folder, and writes down how it was called."""
    made = folder / command
    body = f'echo "$@" >> {folder}/calls; case " $* " in *" install "*) echo doing; '
    body += f"printf '#!/bin/sh\\n' > {made}; /bin/chmod +x {made}; exit {code};; esac"
    executable(folder / "apt-get", body)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """Return a folder that is the whole PATH, as root on Debian."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


GADGET = [Tool("testbed-gadget", "gadget", "turns things")]


def test_missing_packages_are_installed_and_named(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_apt(host, "testbed-gadget")
    said: list[str] = []
    ensure(PROJECT, install=True, say=said.append, tools=GADGET)
    assert any("turns things" in line for line in said)
    update, install = (host / "calls").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends gadget")
    ensure(PROJECT, install=False, say=said.append, tools=GADGET)


def test_a_failed_installation_shows_the_end_of_the_log(host: Path) -> None:
    fake_apt(host, "testbed-gadget", code=100)
    with pytest.raises(InfraError, match=r"exit code 100(.|\n)*doing") as caught:
        ensure(PROJECT, install=True, say=lambda _: None, tools=GADGET)
    assert caught.value.exit_code == 3
    fake_apt(host, "other")
    (host / "testbed-gadget").unlink()
    with pytest.raises(InfraError, match="still missing: testbed-gadget"):
        ensure(PROJECT, install=True, say=lambda _: None, tools=GADGET)


def test_without_rights_the_command_is_shown(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(host, "testbed-gadget")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InfraError, match="neither root nor sudo") as caught:
        ensure(PROJECT, install=True, say=lambda _: None, tools=GADGET)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("as root: apt-get install")
    executable(host / "sudo", 'exec "$@"')
    command = apt_get()
    assert command is not None
    assert command[0] == "sudo"
    ensure(PROJECT, install=True, say=lambda _: None, tools=GADGET)
    assert len((host / "calls").read_text().splitlines()) == 2


def test_another_distribution_is_told_so(host: Path) -> None:
    with pytest.raises(InfraError, match="not Debian"):
        ensure(PROJECT, install=True, say=lambda _: None, tools=GADGET)


def test_all_agree_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variables in ({}, {"XDG_CACHE_HOME": str(tmp_path)}, {"TESTBED_CACHE": str(tmp_path / "c")}):
        for name in ("TESTBED_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert Path(environment.cache_folder()) == cache_root()
        assert Path(environment.place(["x"])).parent == cache_root()


def test_the_environment_follows_its_dependencies() -> None:
    assert environment.digest(["a", "b"]) == environment.digest(["a", "b"])
    assert environment.digest(["a"]) != environment.digest(["a", "b"])
    assert len(environment.digest([])) == 12
    assert "rich" in " ".join(environment.read_dependencies(str(PROJECT)))


def fake_command(log: Path, fail: bool = False) -> Any:
    """Stand for venv and pip: make what they make, count the calls."""

    def run(command: list[str], output: int, _log: object, _lock: int) -> None:
        with log.open("a") as stream:
            stream.write(command[2] + "\n")
        if command[2] == "venv":
            folder = Path(command[3], "bin")
            folder.mkdir(parents=True)
            (folder / "python").touch()
        elif fail:
            raise InfraError("pip failed")

    return run


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "calls"
    log.touch()
    monkeypatch.setattr(environment, "_command", fake_command(log))
    return log


def test_the_environment_is_made_once(cache: Path, calls: Path) -> None:
    assert environment.ready(str(PROJECT)) is None
    made = environment.environment(str(PROJECT), install=True, say=lambda _: None)
    assert Path(made).is_relative_to(cache)
    assert environment.ready(str(PROJECT)) == made
    assert environment.environment(str(PROJECT), install=True, say=lambda _: None) == made
    assert calls.read_text().split() == ["venv", "pip"]


def test_a_half_made_environment_is_not_trusted(cache: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_command", fake_command(calls, fail=True))
    with pytest.raises(InfraError, match="pip failed"):
        environment.environment(str(PROJECT), install=True, say=lambda _: None)
    assert environment.ready(str(PROJECT)) is None
    monkeypatch.setattr(environment, "_command", fake_command(calls))
    stale = next(cache.glob("venv-*/bin")) / "stale"
    stale.touch()
    python = environment.environment(str(PROJECT), install=True, say=lambda _: None)
    assert not stale.exists()
    Path(python).unlink()
    assert environment.ready(str(PROJECT)) is None


def test_a_failing_step_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stream, pytest.raises(InfraError, match=r"exit code 7(.|\n)*no such thing") as caught:
        environment._command(["sh", "-c", "echo no such thing; exit 7"], stream.fileno(), log, stream.fileno())
    assert caught.value.where == str(log)


def test_a_pip_that_outlives_us_keeps_the_lock(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "lock"
    # The command leaves a process behind, as a killed launcher leaves its pip.
    with log.open("wb") as stream, path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment._command(
            ["sh", "-c", "read answer < $0 & :", str(_fifo(tmp_path))], stream.fileno(), log, lock.fileno()
        )
    with path.open("w") as second:
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "fifo").write_text("go\n")
        fcntl.flock(second, fcntl.LOCK_EX)


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def _start(calls: Path, queue: Any) -> None:
    environment._command = fake_command(calls)
    queue.put(environment.environment(str(PROJECT), install=True, say=lambda _: None))


def test_first_starts_at_once_do_not_collide(cache: Path, calls: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    starts = [context.Process(target=_start, args=(calls, queue)) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join(30)
    assert [start.exitcode for start in starts] == [0] * 4
    assert len({queue.get() for _ in starts}) == 1
    assert calls.read_text().split() == ["venv", "pip"]


def test_the_harness_gets_the_words_and_the_checkout(launcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(environment, "ready", lambda _: "/venv/bin/python")
    monkeypatch.setattr(launcher, "become", became.append)
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    launcher.main(["matrix", "--format", "json", "--no-install"])
    assert became == [["/venv/bin/python", "-P", "-m", "harness", "matrix", "--format", "json"]]
    assert os.environ["PYTHONPATH"] == f"{PROJECT}:/theirs"


@pytest.mark.parametrize(
    ("words", "named", "rest"),
    [
        ("", ["lint", "types", "unit", "integration", "system"], []),
        ("unit lint", ["lint", "unit"], []),
        ("unit -- -k x", ["unit"], ["-k", "x"]),
    ],
)
def test_rings_run_in_their_order(words: str, named: list[str], rest: list[str]) -> None:
    assert rings.split(words.split()) == (named, rest)


def test_an_unknown_ring_is_named() -> None:
    with pytest.raises(UsageError, match="unknown ring 'units'"):
        rings.split(["units"])


def test_all_rings_run_and_the_first_failure_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ring = command[command.index("-e") + 1]
        ran.append(ring)
        return subprocess.CompletedProcess(command, {"types": 1, "unit": 5}.get(ring, 0))

    monkeypatch.setattr(subprocess, "run", run)
    assert rings.main([]) == 1
    assert ran == list(rings.RINGS)
    assert "failed: types (exit code 1), unit (exit code 5)" in capsys.readouterr().err


def test_the_venv_module_is_told_from_python() -> None:
    assert Tool(*VENV).present() is (importlib.util.find_spec("ensurepip") is not None)
