"""gdb for a person, or for a file of commands: attached to a domain, with what a kernel's debugger needs set."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from base import owner
from base.errors import InfraError
from harness.attached import Opened, open_stub_of
from harness.cell import Cell
from harness.gdb import ADDRESS, IN_KERNEL, MSR_DR, MSR_IR, MSR_PR, SETTINGS, Debugger, relayed
from harness.kernel import KernelIdentity

# gdb's names (`set architecture`): all kernels here are 64-bit.
ARCHITECTURE = "powerpc:common64"
COMMANDS = """\
define kbreak
  break *'{dot}$arg0'{condition}
end
document kbreak
Set a breakpoint at the first instruction of a function of this kernel: kbreak kvmppc_handle_exit_pr
{told}
end
define kernel-mode
  set $testbed_msr = $msr
  set $msr = ($msr & ~{pr:#x}) | {translated:#x}
end
document kernel-mode
Let gdb reach the kernel's memory where a program was stopped; `back-to-mode` undoes it, before the domain goes on.
end
define back-to-mode
  set $msr = $testbed_msr
end
document back-to-mode
Undo `kernel-mode`.
end
"""


def commands(identity: KernelIdentity, *, kernel_only: bool) -> str:
    """Return commands of ours for gdb.

    With `kernel_only`, breakpoints stop only outside of problem state: a guest of KVM-PR runs there, at addresses that
    its own kernel has in common with dom0's.
    """
    return COMMANDS.format(
        # In big-endian kernels (ELFv1) a function's own name is its descriptor's; its code has a dot before it.
        dot="." if identity.order == "big" else "",
        condition=f" if {IN_KERNEL}" if kernel_only else "",
        told="It does not stop in a guest that is at the same address." if kernel_only else "",
        pr=MSR_PR,
        translated=MSR_IR | MSR_DR,
    )


async def debug(cell: Cell, name: str, *, execute: Sequence[str] = (), script: Path | None = None) -> int:
    """Hold a domain by a gdb that has this terminal; returns gdb's exit status. The domain goes on when gdb ends.

    With commands to `execute`, or a `script` (gdb's own language, or Python if it ends in .py), gdb does that and ends.
    Raises StepFailed when no debugger is at hand, InfraError when it cannot be run.
    """
    stub = await open_stub_of(cell, name)
    assert cell.debugger is not None
    with tempfile.TemporaryDirectory(prefix="testbed-gdb-") as folder:
        words = _words(stub, cell.identity(name), Path(folder), kernel_only=cell.is_host(name))
        for line in execute:
            words += ["-ex", line]
        if script is not None:
            words += ["-x", str(script)]
        if execute or script:
            words.append("--batch")
        async with relayed(Path(folder), stub.end):
            status = await _run(cell.debugger, words, folder)
    await stub.close()
    return status


def _words(stub: Opened, identity: KernelIdentity, folder: Path, *, kernel_only: bool) -> list[str]:
    """Write our commands into a folder, and return gdb's arguments up to where it has attached."""
    path = folder / "commands"
    path.write_text(commands(identity, kernel_only=kernel_only))
    words = ["--nx", "--quiet", str(stub.symbols)]
    for line in (*SETTINGS, f"set architecture {ARCHITECTURE}", f"set endian {identity.order}"):
        words += ["-iex", line]
    return [*words, "-x", str(path), "-ex", f"target remote {folder / ADDRESS}"]


async def _run(debugger: Debugger, words: Sequence[str], home: str) -> int:
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *debugger.command, *words]
    environment = {**owner.environment(), **debugger.environment, "HOME": home, "LC_ALL": "C.UTF-8"}
    with _deaf_to_ctrl_c():
        try:
            # In our process group: the terminal is gdb's as well, and so is its Ctrl-C.
            process = await asyncio.create_subprocess_exec(*argv, env=environment)
        except OSError as error:
            raise InfraError(f"cannot run {argv[0]}: {error.strerror}", hint="see `./testbed doctor`") from error
        return await process.wait()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Leave Ctrl-C to gdb. A handler of ours, since a signal that is ignored would be so in gdb as well."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
