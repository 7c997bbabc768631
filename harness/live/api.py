"""The simulator for Python programs: a machine, its dom0 and domUs as objects whose methods wait.

    with Simulator.start("g5", domu=True) as g5:
        print(g5.dom0.run("uname -a").output)
        g5.domu.save("before")

What goes wrong is raised as in scenarios: `StepFailed` and others below `base.errors.TestbedError`, a kernel's panic on
any console as `GuestAlarm`, a wait that took too long as `DeadlineExpired`. `within` are seconds of a calm host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from base.errors import UsageError
from base.progress import Report, silent
from harness.attached import attached
from harness.domain import DomainConfig
from harness.gdb import IN_KERNEL, Gdb, Stop
from harness.live.folders import live_folder
from harness.live.loop import Held, Loop
from harness.live.session import WITHIN, Session, live_session
from harness.live.wish import DOMU, Wish
from harness.plan import Choice
from harness.specs import make_spec
from harness.verbs import verbs
from sim.platform import DOM0
from sim.shell import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType


SAVED = "/run/saved"


class Simulator:
    """A machine that runs. Use it as a context manager, or `close` it; `folder` has its evidence afterwards too."""

    def __init__(self, session: Session, loop: Loop, held: Held[Session]) -> None:
        self.session = session
        self.loop = loop
        self._held = held
        self._ended = False

    @classmethod
    def start(
        cls,
        platform: str,
        *,
        domu: bool = False,
        debugger: bool = False,
        screen: bool = False,
        cold: bool = False,
        cpus: int = 0,
        memory: int = 0,
        report: Report = silent,
        **choice: str,
    ) -> Self:
        """Start a machine, from a template if there is one; `choice` is what `./testbed boot` takes (`kernel="stock"`).

        Raises UsageError for what does not exist, InfraError, and what a boot raises that goes wrong.
        """
        chosen = Choice(platform=platform, **choice)  # type: ignore[arg-type]
        return cls.of(Wish(platform, chosen, domu, cpus, memory, cold, debugger, screen), report)

    @classmethod
    def of(cls, wanted: Wish, report: Report = silent) -> Self:
        """Start the machine that is wished for. Raises as `start`."""
        spec = wanted.adapt(make_spec(wanted.plan(), "live", report))

        @asynccontextmanager
        async def session() -> AsyncIterator[Session]:
            async with AsyncExitStack() as stack:
                folder = stack.enter_context(live_folder(wanted.platform))
                found = await stack.enter_async_context(live_session(spec, folder, wanted.devices))
                await found.prepare()
                yield found

        loop = Loop()
        try:
            held = Held(loop, session())
            return cls(held.enter(), loop, held)
        except BaseException:
            loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch the machine off. May be called again."""
        if not self._ended:
            self._ended = True
            try:
                self._held.leave()
            finally:
                self.loop.close()

    def __repr__(self) -> str:
        spec = self.session.cell.spec
        return f"<{spec.platform.name} with {spec.hypervisor.name} ({spec.cell.kernel}), {self.folder}>"

    @property
    def folder(self) -> Path:
        """Its evidence: consoles, what was said on QMP, pictures."""
        return self.session.folder

    @property
    def dom0(self) -> Domain:
        """The privileged domain."""
        return Domain(self, DOM0)

    @property
    def domu(self) -> DomU:
        """The first domU. Raises UsageError when there is none."""
        if not self.session.cell.domains:
            raise UsageError("there is no domU", hint="start with domu=True (--domu), or `create()` one")
        return DomU(self, next(iter(self.session.cell.domains)))

    @property
    def domus(self) -> dict[str, DomU]:
        """All domUs by name."""
        return {name: DomU(self, name) for name in self.session.cell.domains}

    def create(self, name: str = DOMU, *, memory: int = 0, vcpus: int = 1, append: str = "") -> DomU:
        """Create a domU (memory in MiB) and wait until it answers."""
        size = memory or self.session.cell.hypervisor.domu.memory
        self.loop.do(self.session.create(DomainConfig(name=name, memory=size, vcpus=vcpus, append=append)))
        self.loop.do(self.session.do("boots", {"domain": name}))
        return DomU(self, name)

    def step(self, verb: str, **params: Any) -> str:
        """Do what a verb of scenarios does (`./testbed list verbs`); `_` in names of parameters stands for `-`."""
        if verb not in verbs():
            raise UsageError(f"no verb '{verb}'", hint="`./testbed list verbs`")
        given = {key.replace("_", "-"): value for key, value in params.items()}
        return self.loop.do(_step(self.session, verb, given)) or ""

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Ask the simulator's QMP."""
        return self.loop.do(self.session.machine.qmp.execute(command, **arguments))

    def hmp(self, line: str) -> str:
        """Ask QEMU's monitor for people."""
        return str(self.qmp("human-monitor-command", command_line=line)).replace("\r", "")

    def pause(self) -> None:
        """Let all stand still."""
        self.loop.do(self.session.pause())

    def go_on(self) -> None:
        """Let it run again."""
        self.loop.do(self.session.go_on())

    def snapshot(self, name: str) -> None:
        """Keep the state of the machine with its domUs; it goes on."""
        self.loop.do(self.session.save(name))

    def resume(self, name: str) -> None:
        """Put it back to a snapshot."""
        self.loop.do(self.session.resume(name))

    def screenshot(self, path: str | Path | None = None) -> Path:
        """Write a picture of the machine's screen and return where. Raises UsageError when it has none."""
        return self.loop.do(self.session.screenshot(Path(path).absolute() if path else None))


class Domain:
    """dom0, or what a domU has in common with it."""

    def __init__(self, simulator: Simulator, name: str) -> None:
        self.simulator = simulator
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name} of {self.simulator!r}>"

    @property
    def _session(self) -> Session:
        return self.simulator.session

    def run(self, command: str, within: float = WITHIN) -> Answer:
        """Run a shell command and return its exit `status` and `output`, whatever they are."""
        return self.simulator.loop.do(self._session.cell.run(self.name, command, within))

    def must(self, command: str, within: float = WITHIN) -> str:
        """Run a command that must succeed and return what it printed. Raises StepFailed."""
        return self.simulator.loop.do(self._session.must(self.name, command, within))

    def answers(self, within: float = WITHIN) -> None:
        """Ask it a fresh sum, and wait for the result."""
        cell = self._session.cell
        work = cell.wait(f"{self.name} answers", cell.shell(self.name).challenge(), within, domain=self.name)
        self.simulator.loop.do(work)

    @property
    def console(self) -> str:
        """All that its console 0 has shown."""
        data = self._session.cell.console(self.name).log_path.read_bytes()
        return data.decode(errors="replace").replace("\r", "")

    def type(self, text: str) -> None:
        """Type at its console 0 as a person would (Enter is `\\r`)."""

        async def send() -> None:
            self._session.cell.console(self.name).send(text)

        self.simulator.loop.do(send())

    def expect(self, pattern: str, within: float = WITHIN) -> str:
        """Wait until its console 0 shows what matches, in what has come since the last match; returns that."""
        cell = self._session.cell
        work = cell.wait(
            f"{self.name} shows /{pattern}/", cell.console(self.name).expect(pattern), within, domain=self.name
        )
        return self.simulator.loop.do(work).text.decode(errors="replace")

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Ask the QMP of the QEMU that it runs in."""
        return self.simulator.loop.do(self._session.cell.qmp(self.name).execute(command, **arguments))

    @contextmanager
    def debugger(self) -> Iterator[Debugger]:
        """Hold it by gdb for the block; it stands still until `Debugger.go_on`, and goes on when the block ends.

        The simulator must have been started with `debugger=True`.
        """
        held = Held(self.simulator.loop, attached(self._session.cell, self.name))
        gdb, _ = held.enter()
        try:
            yield Debugger(self, gdb)
        finally:
            held.leave()


class DomU(Domain):
    """A guest of the hypervisor."""

    def pause(self) -> None:
        """Stop its vCPUs."""
        self.simulator.loop.do(self._session.cell.toolstack.pause(self._session.cell.domain(self.name)))

    def unpause(self) -> None:
        """Let them run."""
        self.simulator.loop.do(self._session.cell.toolstack.unpause(self._session.cell.domain(self.name)))

    def save(self, name: str) -> int:
        """Save it to a file in dom0, of this name; it is then gone. Returns the file's size in bytes."""
        return self.simulator.loop.do(_save(self._session, self.name, name))

    def restore(self, name: str) -> None:
        """Restore it from such a file, and wait until it answers."""
        self.simulator.loop.do(_restore(self._session, self.name, name))

    def destroy(self) -> None:
        """End it."""
        cell = self._session.cell
        self.simulator.loop.do(cell.toolstack.destroy(cell.domains.pop(self.name)))


class Debugger:
    """A gdb that holds a domain. `gdb` is the harness's own object, for `loop.do`."""

    def __init__(self, domain: Domain, gdb: Gdb) -> None:
        self.gdb = gdb
        self._domain = domain
        self._do = domain.simulator.loop.do

    def command(self, text: str) -> dict[str, Any]:
        """Give a command of gdb's machine interface and return its results. Raises GdbRefused."""
        return self._do(self.gdb.command(text))

    def breakpoint(self, symbol: str) -> int:
        """Set a breakpoint at a kernel's function and return its address. Raises GdbRefused.

        A guest of KVM-PR runs in dom0's address space of problem state: dom0's breakpoints stop in its kernel alone.
        """
        return self._do(_insert(self.gdb, symbol, kernel_only=self._domain.name == DOM0))

    def clear(self) -> None:
        """Take all breakpoints away."""
        self.command("-break-delete")

    def go_on(self) -> None:
        """Let the domain run."""
        self.command("-exec-continue")

    def stopped(self, within: float = WITHIN) -> Stop:
        """Wait until it stops. Raises DeadlineExpired."""
        cell = self._domain.simulator.session.cell
        return self._do(cell.wait(f"{self._domain.name} stops", self.gdb.stopped(), within))

    def frames(self) -> list[str]:
        """Return the functions of the backtrace, innermost first."""
        return self._do(self.gdb.frames())

    def registers(self) -> dict[str, int]:
        """Return the whole-number registers by gdb's names."""
        return self._do(self.gdb.registers())


async def _insert(gdb: Gdb, symbol: str, *, kernel_only: bool) -> int:
    async with gdb.as_kernel():
        _, address = await gdb.insert(symbol, IN_KERNEL if kernel_only else "")
    return address


async def _step(session: Session, verb: str, params: dict[str, Any]) -> str | None:
    remark = await session.do(verb, params)
    await session.machine.check()
    return remark


async def _save(session: Session, domain: str, name: str) -> int:
    cell = session.cell
    await session.must(DOM0, f"mkdir -p {SAVED}")
    size = await cell.control(
        domain, f"{domain} is saved", cell.toolstack.save(cell.domain(domain), f"{SAVED}/{name}"), WITHIN
    )
    session.saved[domain, name] = cell.domains.pop(domain).config
    return size


async def _restore(session: Session, domain: str, name: str) -> None:
    cell = session.cell
    if (config := session.saved.get((domain, name))) is None:
        raise UsageError(f"{domain} was not saved as '{name}'")
    work = cell.toolstack.restore(cell, config, cell.host(DOM0), f"{SAVED}/{name}")
    cell.domains[domain] = await cell.wait(f"{domain} is restored", work, WITHIN)
    await cell.wait(f"{domain} answers", cell.shell(domain).challenge(), WITHIN, domain=domain)
