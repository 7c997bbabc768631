"""The simulated machine: QEMU, its QMP, its consoles, and the one way to wait for anything on it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from base.errors import TestbedError
from sim.alarms import linux_alarms
from sim.autopsy import PATIENCE, examine
from sim.console import CHUNK, Console, ConsoleClosed
from sim.deadline import Budget, Meter, Usage, read_usage
from sim.errors import CpuLost, DeadlineExpired, GuestAlarm, MachineStopped, QemuKilled, QmpFailed
from sim.hidden import ControllerWatch
from sim.lost import LostCpu, Watch, wake
from sim.platform import DOM0
from sim.qemu import QemuProcess
from sim.qmp import Qmp
from sim.rsp import StubRefused
from sim.shell import Shell
from sim.spec import MachineSpec
from sim.stub import CHARDEV, close_stub, open_stub

T = TypeVar("T")

# How often a wait looks at its budget (s); what is waited for itself arrives as an event.
WATCH_EVERY = 0.25
# How often a machine is asked for what QEMU may have done to it (s).
LOOK_EVERY = 1.0
# From the start of the process to QMP's greeting.
GREETING = Budget(work=30, idle=30, wall=120)
# Of each console, in an autopsy.
LAST_LINES = 40
# Between the hang-up of a line and the news of QEMU's end (s).
HANG_UP_PATIENCE = 1.0


class Machine:
    """A running machine. Use it as an asynchronous context manager: it is gone when the block ends.

    Evidence goes below `evidence`: `console/`, `qmp/`, `qemu.log`, `qemu.cmdline`; the names of the files of a
    machine that is not called dom0 begin with its name.
    """

    def __init__(self, spec: MachineSpec, evidence: Path) -> None:
        self.spec = spec
        self.evidence = evidence
        self.began = time.monotonic()
        self.process: QemuProcess
        self.qmp: Qmp
        self.console: Console
        self.command: Shell
        self.version = ""
        # How many CPUs QEMU has put to sleep by mistake, and were woken (sim/lost.py).
        self.woken = 0
        # Set when the guest is about to switch itself off: its end then ends no wait.
        self.may_stop = False
        self._ends: dict[str, socket.socket] = {}
        self._consoles: list[Console] = []
        self._vcpus: list[int] = []
        self._watch: Watch | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        folder = self.evidence / "console"
        for needed in (folder, self.evidence / "qmp"):
            needed.mkdir(parents=True, exist_ok=True)
        theirs: dict[str, socket.socket] = {}
        for name in ("qmp", "console", "command", *self.spec.ports):
            self._ends[name], theirs[name] = socket.socketpair()
        try:
            fds = {name: end.fileno() for name, end in theirs.items()}
            args = self.spec.arguments(fds)
            given = [*fds.values(), *self.spec.fds, *([self.spec.ram.descriptor] if self.spec.ram else [])]
            self._file("qemu.cmdline").write_text(shlex.join([*self.spec.qemu.command, *args]) + "\n")
            self.process = await QemuProcess.start(self.spec.qemu, args, fds=given, log=self._file("qemu.log"))
        finally:
            for end in theirs.values():
                end.close()
        self.qmp = Qmp("machine", self.evidence / "qmp" / self._file("machine.jsonl").name, began=self.began)
        self.console = await self.open_console(self.spec.name, self._ends["console"])
        self.command = Shell(await self.open_console(f"{self.spec.name}-command", self._ends["command"], log=False))
        greeting = await self.wait("QEMU answers on QMP", self.qmp.connect(self._ends["qmp"]), GREETING)
        self.process.spoke = True
        number = greeting["version"]["qemu"]
        self.version = f"{number['major']}.{number['minor']}.{number['micro']}"
        cpus = await self.qmp.execute("query-cpus-fast")
        self._vcpus = sorted({cpu["thread-id"] for cpu in cpus})
        if self.spec.platform.cedes:
            threads = {cpu["cpu-index"]: cpu["thread-id"] for cpu in cpus}
            self._watch = Watch(self.qmp, self.process.pid, threads)
            self._watcher = asyncio.create_task(self._watch_cpus(self._watch), name="CPUs that QEMU loses")
        elif controller := self.spec.platform.interrupt_controller:
            hidden = ControllerWatch(self.qmp, controller, lambda: self.usage.ran)
            self._watcher = asyncio.create_task(self._watch_controller(hidden), name="a hidden interrupt controller")

    async def stop(self) -> None:
        """End the machine and close what belongs to it. May be called again, and after a failed start."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        try:
            if hasattr(self, "qmp"):
                # A QEMU that does not even hang up in order is ended all the same.
                with contextlib.suppress(QmpFailed, TimeoutError):
                    await asyncio.wait_for(self.qmp.close(), PATIENCE)
        finally:
            if hasattr(self, "process"):
                await self.process.stop()
            for console in self._consoles:
                await console.close()
            self._consoles.clear()
            for end in self._ends.values():
                end.close()
            self._ends.clear()

    def _file(self, name: str) -> Path:
        """Return the path of a file of evidence about this machine."""
        return self.evidence / (name if self.spec.name == DOM0 else f"{self.spec.name}.{name}")

    @property
    def consoles(self) -> tuple[Console, ...]:
        """All consoles that are read, command channels included."""
        return tuple(self._consoles)

    @property
    def vcpu_threads(self) -> tuple[int, ...]:
        """The host's thread ids of the vCPUs."""
        return tuple(self._vcpus)

    @property
    def usage(self) -> Usage:
        """What the vCPU threads have done so far."""
        return read_usage(self.process.pid, self._vcpus)

    def port(self, name: str) -> socket.socket:
        """Return a fresh descriptor of the host's end of a named port. Raises KeyError for an unknown name."""
        return self._ends[name].dup()

    def drain(self, name: str) -> None:
        """Throw away what has come out of a named port and was not read. Raises KeyError for an unknown name."""
        end = self._ends[name]
        while True:
            try:
                if not end.recv(CHUNK, socket.MSG_DONTWAIT):
                    return
            except BlockingIOError:
                return

    async def open_console(self, name: str, end: socket.socket, *, log: bool = True) -> Console:
        """Read a console from now on. If it carries a kernel's `log`, its alarms end every wait on this machine."""
        alarms = (*linux_alarms(), *self.spec.alarms) if log else ()
        console = Console(name, end, self.evidence / "console", began=self.began, alarms=alarms)
        await console.open()
        self._consoles.append(console)
        return console

    async def close_console(self, console: Console) -> None:
        """Read a console no longer: its domain is gone. An alarm that it has shown no longer ends a wait.

        May be called again: a domU whose migration went wrong is let go of in two ways.
        """
        if console in self._consoles:
            self._consoles.remove(console)
            await console.close()

    async def open_debugger(self) -> socket.socket:
        """Stop the machine for a gdb, whose end of the connection is returned. Raises QmpFailed."""
        ours, theirs = socket.socketpair()
        try:
            await self.qmp.hand_over(CHARDEV, theirs.fileno())
            address = {"type": "fd", "data": {"str": CHARDEV}}
            await open_stub(self.qmp, {"type": "socket", "data": {"addr": address, "server": False}})
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    async def close_debugger(self) -> None:
        """Let no gdb in any more. Raises QmpFailed."""
        await close_stub(self.qmp)

    async def wait(
        self, what: str, work: Coroutine[Any, Any, T], budget: Budget, *, speaker: Console | None = None
    ) -> T:
        """Wait for `work`, but not beyond its budget, an alarm on any console, or the machine's end.

        `speaker` is the console to which the budget's `silence` applies.
        Raises what `work` raises, GuestAlarm, DeadlineExpired, NoOutput, HostStarved, what QEMU did to the machine
        (CpuLost, ControllerHidden), or what its end means: MachineStopped, QemuCrashed, QemuKilled, QemuRefused.
        """
        task = asyncio.create_task(work, name=what)
        stop = asyncio.create_task(self.qmp.event("SHUTDOWN"))
        heard = (lambda: speaker.received) if speaker else None
        meter = Meter(what, budget, self.process.pid, self._vcpus, heard)
        try:
            while not task.done():
                awaited: set[asyncio.Future[Any]] = {task, self.process.exited}
                if not self.may_stop:
                    awaited.add(stop)
                if self._watcher is not None:
                    awaited.add(self._watcher)
                awaited |= {console.alarm for console in self._consoles if not console.excused}
                await asyncio.wait(awaited, timeout=WATCH_EVERY, return_when=asyncio.FIRST_COMPLETED)
                await self._raise_alarm()
                if not task.done():
                    self._raise_end(what)
                    self._raise_lost(what)
                    meter.check()
            result = task.result()
            await self._raise_alarm()
            return result
        except DeadlineExpired as error:
            if self._watch is not None and self._watch.suspected:
                raise _cpu_lost(what, self._watch.suspected, "not noticed soon enough") from error
            raise
        except (QmpFailed, ConsoleClosed) as error:
            # A line that hangs up is only the symptom if QEMU itself has gone.
            await asyncio.wait({self.process.exited}, timeout=HANG_UP_PATIENCE)
            try:
                self._raise_end(what)
            except TestbedError as end:
                raise end from error
            raise
        finally:
            for pending in (task, stop):
                if not pending.done():
                    pending.cancel()
                    await asyncio.wait({pending})

    async def _looks(self, look: Callable[[], Awaitable[T]]) -> AsyncIterator[T]:
        """Yield what looks tell, one after the other, until QEMU ends."""
        while not self.process.exited.done():
            await asyncio.wait({self.process.exited}, timeout=LOOK_EVERY)
            try:
                told = await look()
            except (QmpFailed, TimeoutError):
                continue  # a QEMU that does not answer shows in other ways
            yield told

    async def _watch_cpus(self, watch: Watch) -> None:
        """Wake CPUs that QEMU has put to sleep by mistake, whoever waits for what meanwhile, until QEMU ends.

        Raises QmpFailed, StubRefused, TimeoutError when one cannot be woken.
        """
        async for lost in self._looks(watch.look):
            if lost:
                with await self.open_debugger() as stub:
                    await wake(lost, stub)
                await self.close_debugger()
                self.woken += len(lost)

    async def _watch_controller(self, watch: ControllerWatch) -> None:
        """Look at the interrupt controller until QEMU ends. Raises ControllerHidden."""
        async for _ in self._looks(watch.look):
            pass

    def _raise_lost(self, what: str) -> None:
        if self._watcher is not None and self._watcher.done():
            error = self._watcher.exception()
            if self._watch is not None and isinstance(error, QmpFailed | StubRefused | TimeoutError):
                raise _cpu_lost(what, self._watch.suspected, str(error) or "no answer") from error
            if error is not None:
                raise error

    def _raise_end(self, what: str) -> None:
        """Raise what it means if the machine has stopped or QEMU has gone before `what` was so."""
        stops = [event["data"]["reason"] for event in self.qmp.events if event["event"] == "SHUTDOWN"]
        if "host-signal" in stops:
            raise QemuKilled("QEMU was told to end by a signal from outside", hint="who sent it SIGTERM?")
        if self.process.exited.done():
            raise self.process.exited.result().error()
        if stops and not self.may_stop:
            raise MachineStopped(f"{what}: the machine was switched off or reset before that ({stops[0]})")

    async def check(self) -> None:
        """Raise GuestAlarm if a console has shown an alarm, after QEMU has handed over what it printed so far.

        Raises QmpFailed, or what the end of QEMU means, if it is gone.
        """
        await self.wait("QEMU answers on QMP", self.qmp.execute("query-status"), GREETING)

    async def _raise_alarm(self) -> None:
        watched = (console for console in self._consoles if not console.excused)
        console = next((console for console in watched if console.alarming), None)
        if console is not None:
            alarm = await console.alarm
            raise GuestAlarm(console.name, f"{alarm.name}: {alarm.line}", alarm.excerpt)

    async def autopsy(self) -> Path | None:
        """Write what can still be asked of the machine, and what it said last, to `autopsy.txt` (sim/autopsy.py).

        Returns the file, or None when QEMU is gone. Raises only OSError, when the file cannot be written.
        """
        if not hasattr(self, "process") or self.process.exited.done() or not self._vcpus:
            return None
        path = self._file("autopsy.txt")
        screen = self.evidence / "screens" / self._file("end.png").name
        await examine(
            self.qmp, path, screen, lambda: {console.name: console.tail(LAST_LINES) for console in self._consoles}
        )
        return path


def _cpu_lost(what: str, lost: Sequence[LostCpu], why: str) -> CpuLost:
    cpus = ", ".join(str(each.cpu) for each in lost)
    return CpuLost(
        f"{what}: QEMU has put CPU {cpus} to sleep as it delivered an interrupt to it: {why}",
        hint="a fault of the simulator, which says nothing about what runs on it: docs/findings.md",
    )
