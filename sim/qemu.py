"""One QEMU process: started without races, watched, always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from base import owner
from base.errors import InfraError, TestbedError
from sim.errors import MachineStopped, QemuCrashed, QemuKilled, QemuRefused

_FAULTS = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_TAIL = 4096
# QEMU's complaint may be followed by a line or two of advice.
LAST_LINES = 3

Ending = Literal["ended", "refused", "crashed", "killed"]


@dataclass(frozen=True)
class QemuBinary:
    """A QEMU to run: `command` is the program with whatever must stand before it (a loader, `-L`)."""

    command: tuple[str, ...]
    version: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exit:
    """How QEMU ended. `code` is its exit status, `signal` the signal that ended it (one of them is None)."""

    code: int | None
    signal: int | None
    spoke: bool
    stderr: str

    @property
    def ending(self) -> Ending:
        """Whose doing it was: the guest's (`ended`), the arguments', QEMU's own fault, or an outsider's."""
        if self.signal is not None:
            return "crashed" if self.signal in _FAULTS else "killed"
        if self.code == 0:
            return "ended"
        return "killed" if self.spoke else "refused"

    def error(self) -> TestbedError:
        """Return the error that a wait ends with when QEMU is gone."""
        last = "; ".join(self.stderr.strip().splitlines()[-LAST_LINES:]) or "it said nothing"
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            if self.ending == "crashed":
                return QemuCrashed(f"QEMU crashed with {name}: {last}")
            return QemuKilled(
                f"QEMU was killed from outside with {name}",
                hint="out of memory (see the kernel's log), or somebody ended it",
            )
        if self.ending == "ended":
            return MachineStopped("the machine was switched off or reset while it was waited for")
        if self.ending == "refused":
            return QemuRefused(f"QEMU did not start (exit code {self.code}): {last}")
        return QemuKilled(f"QEMU ended by itself with exit code {self.code}: {last}")


class QemuProcess:
    """A running QEMU, in a process group of its own, that dies when this process dies.

    `exited` becomes an `Exit` when it is gone; `spoke` says whether its QMP ever answered, which tells
    "did not start" from "ended".
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid
        self.spoke = False
        self.exited: asyncio.Task[Exit] = asyncio.create_task(self._watch(), name=f"qemu-{process.pid}")

    @classmethod
    async def start(cls, binary: QemuBinary, args: Sequence[str], *, fds: Sequence[int], log: Path) -> QemuProcess:
        """Start QEMU with `args`, handing down the descriptors `fds`; what it prints goes to `log`.

        Raises InfraError when the program cannot be run at all.
        """
        # The pid stays QEMU's own: setpriv replaces itself.
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *binary.command, *args]
        with log.open("wb") as stream:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stream,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=fds,
                    env={**owner.environment(), **binary.environment},
                    process_group=0,
                )
            except OSError as error:
                raise InfraError(f"cannot run {argv[0]}: {error.strerror}", hint="see `./testbed doctor`") from error
        return cls(process, log)

    async def _watch(self) -> Exit:
        status = await self._process.wait()
        raw = self._log.read_bytes()[-_TAIL:].decode(errors="replace")
        return Exit(
            code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            spoke=self.spoke,
            stderr=raw,
        )

    async def stop(self, *, grace: float = 2.0) -> Exit:
        """End QEMU: SIGTERM, and after `grace` seconds SIGKILL, to its whole group. Harmless when it is gone."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
            if self.exited.done():
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            await asyncio.wait({self.exited}, timeout=patience)
        return await self.exited
