"""Child processes that never outlive the run which started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from base.errors import InfraError
from base.owner import MARK, environment
from images.errors import ToolError

# The kernel sends TERM to the shell when our thread is gone, even by kill -9, and the shell then ends its whole
# group: a death signal alone would end only the first process and leave make's compilers running.
_GUARD = ("setpriv", "--pdeathsig", "TERM", "--", "bash", "-c", 'trap "kill -KILL 0" TERM; "$@" & wait $!', "guard")


class Cancelled(InfraError):
    """The run is being stopped: another part of it failed, or the user interrupted it."""


class Processes:
    """The child processes of one run, which can be stopped all at once from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    def run(self, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None) -> int:
        """Run a command to its end, its output appended to `log`, and return its exit code.

        `env` replaces the environment except for the mark of the owner. Raises Cancelled when the run is
        being stopped, ToolError when the guard's own programs are missing.
        """
        owned = environment()
        if env is not None:
            owned = {**env, MARK: owned[MARK]}
        with log.open("ab") as stream:
            with self._guard:
                self._check()
                try:
                    process = subprocess.Popen(
                        [*_GUARD, *command],
                        cwd=cwd,
                        env=owned,
                        stdin=subprocess.DEVNULL,
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                except FileNotFoundError as error:
                    raise ToolError(f"cannot run {error.filename}", hint="install the package util-linux") from error
                self._running.add(process)
            try:
                code = process.wait()
            finally:
                _kill(process)
                with self._guard:
                    self._running.discard(process)
        if self._cancelled:
            raise Cancelled("stopped")
        return code

    def cancel(self) -> None:
        """Kill every running command with its whole group; what would start later is refused."""
        with self._guard:
            self._cancelled = True
            for process in self._running:
                _kill(process)

    def check(self) -> None:
        """Raise Cancelled when the run is being stopped."""
        with self._guard:
            self._check()

    def _check(self) -> None:
        if self._cancelled:
            raise Cancelled("stopped")


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Also after a normal end: a build may leave a background process of its group behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
