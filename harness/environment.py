"""The Python environment of the test bed: made once for a set of dependencies, whole or not trusted.

Runs before any environment exists: standard library only, and little of that when it is there already.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Callable

from base.errors import InfraError

Say = Callable[[str], None]
STAMP = "complete"  # written last: an environment without it was interrupted


def ready(checkout: str) -> str | None:
    """Return the Python of the environment for the checkout's dependencies, None if it is not there yet.

    Raises InfraError if the dependencies cannot be read.
    """
    folder = place(read_dependencies(checkout))
    return f"{folder}/bin/python" if is_complete(folder) else None


def environment(checkout: str, *, install: bool, say: Say) -> str:
    """Return the environment's Python, made first if it is not there.

    Raises InfraError if it cannot be made, or is missing and must not be made.
    """
    dependencies = read_dependencies(checkout)
    folder = place(dependencies)
    if not is_complete(folder):
        if not install:
            raise InfraError(
                f"the Python environment {folder} is missing, and --no-install forbids making it",
                hint="without --no-install it is made with venv and pip, from PyPI",
            )
        _make(checkout, folder, dependencies, say)
    return f"{folder}/bin/python"


def cache_folder() -> str:
    """Return the same folder as `base.paths.cache_root`, without platformdirs, which is not there yet."""
    named = os.environ.get("TESTBED_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/ppc-testbed"
    return os.path.abspath(os.path.expanduser(named))  # noqa: PTH100, PTH111  (speed)


def place(dependencies: list[str]) -> str:
    """Return the folder of the environment with these dependencies."""
    return f"{cache_folder()}/venv-{digest(dependencies)}"


def read_dependencies(checkout: str) -> list[str]:
    """Return the project's dependencies. Raises InfraError."""
    path = f"{checkout}/pyproject.toml"
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (speed)
            return list(tomllib.load(stream)["project"]["dependencies"])
    except (OSError, ValueError, KeyError) as error:
        raise InfraError(f"cannot read the dependencies: {error}", where=path, hint="`git status`") from error


def digest(dependencies: list[str]) -> str:
    """Return 12 hexadecimal digits that change with the dependencies and with the Python that runs them."""
    text = "\n".join([*dependencies, sys.version, sys.base_prefix])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_complete(folder: str) -> bool:
    """Return whether the environment was finished and its Python still exists."""
    # The link of an environment whose Python was uninstalled leads nowhere; exists() follows it.
    return os.path.exists(f"{folder}/{STAMP}") and os.path.exists(f"{folder}/bin/python")  # noqa: PTH110  (speed)


def _make(checkout: str, folder: str, dependencies: list[str], say: Say) -> None:
    """Make the environment, alone. It stays where it is made (its scripts name the place) and the stamp comes last."""
    import fcntl  # noqa: PLC0415  (this and the next: only the first start needs them)
    import shutil  # noqa: PLC0415
    import time  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from harness.hosttools import VENV, Tool, ensure, log_file  # noqa: PLC0415

    ensure(checkout, install=True, say=say, tools=[Tool(*VENV)])
    log = log_file("environment.log")
    with Path(f"{folder}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another testbed is making the Python environment; waiting for it...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(folder):
            return
        say("making the Python environment (about 20 s)...")
        began = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        with log.open("wb") as stream:
            _command([sys.executable, "-m", "venv", folder], stream.fileno(), log, lock.fileno())
            pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
            _command([*pip, *dependencies], stream.fileno(), log, lock.fileno())
        Path(folder, STAMP).touch()
        say(f"  done in {time.monotonic() - began:.0f} s")


def _command(command: list[str], output: int, log: os.PathLike[str], lock: int) -> None:
    """Run a command that keeps the lock: if only we are killed, nobody begins anew while pip still writes."""
    import shlex  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from harness.hosttools import tail  # noqa: PLC0415

    os.write(output, f"$ {shlex.join(command)}\n".encode())
    code = subprocess.run(command, stdout=output, stderr=output, check=False, pass_fds=[lock]).returncode
    if code != 0:
        raise InfraError(
            f"no Python environment: exit code {code} of {shlex.join(command[:4])}...\n{tail(Path(log))}",
            where=os.fspath(log),
            hint="PyPI must be reachable (https_proxy and PIP_INDEX_URL count), the disk not full; then try again",
        )
