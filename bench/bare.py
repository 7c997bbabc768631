"""Bare QEMU: the same machine started by hand, by subprocess and pexpect alone, until it gives the same answer.

What the harness adds is the difference. The arguments are those that the harness gave QEMU, word by word.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import selectors
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
from pexpect.socket_pexpect import SocketSpawn

from base import owner
from bench.model import BenchFailed
from bench.usage import Cpu
from harness.domain import DomainConfig
from harness.host import make_slots
from harness.runspec import RunSpec
from harness.toolstacks.qemu_args import arguments, launch_script
from sim.console import CHUNK
from sim.shell import HELLO

PATIENCE = 180.0
_SOCKET = re.compile(r"socket,id=([^,]+),fd=\d+")


@dataclass(frozen=True)
class Bare:
    """One start by hand, in seconds: from before the process to the answer; what QEMU used to its end."""

    answered: float
    cpu: float


def start(cmdline: Path, spec: RunSpec, *, domu: bool) -> Bare:
    """Start QEMU with the arguments in a `qemu.cmdline` and wait for the answer of dom0, or of a domU created by hand.

    Raises BenchFailed.
    """
    before, began = Cpu.now(), time.monotonic()
    slot = make_slots(1)[0]
    talked_to = {"command", slot.port("command")} if domu else {"command"}
    with _running(shlex.split(cmdline.read_text())) as ends, _drained(ends, talked_to):
        try:
            shell = _open(ends["command"])
            if domu:
                config = DomainConfig(name="u1", memory=spec.hypervisor.domu.memory)
                args = arguments(spec.hypervisor.domu, config, slot, incoming=False)
                shell.sendline(launch_script(args, config, slot))
                _open(ends[slot.port("command")])
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise BenchFailed(f"bare QEMU gave no answer: {type(error).__name__}", where=str(cmdline)) from error
        answered = time.monotonic() - began
    return Bare(answered, Cpu.now().since(before).children)


def _open(end: socket.socket) -> SocketSpawn[str]:
    """Wait for a shell at the other end, and for its answer to a sum."""
    # Without an encoding, which pexpect's sockets take and do not apply.
    shell = SocketSpawn(end, timeout=PATIENCE)
    shell.expect_exact(HELLO)
    left, right = secrets.randbelow(90000) + 10000, secrets.randbelow(90000) + 10000
    shell.sendline(f'echo "<$(({left}*{right}))>"')
    shell.expect_exact(f"<{left * right}>")
    return shell


@contextlib.contextmanager
def _drained(ends: dict[str, socket.socket], talked_to: set[str]) -> Iterator[None]:
    """Read away what comes on all other lines: a guest that prints stands still when nobody reads."""
    stop, stopped = socket.socketpair()

    def drain() -> None:
        with selectors.DefaultSelector() as selector:
            for end in (*(end for name, end in ends.items() if name not in talked_to), stopped):
                selector.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is stopped:
                        return
                    if not isinstance(key.fileobj, socket.socket) or not key.fileobj.recv(CHUNK):
                        selector.unregister(key.fileobj)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield
    finally:
        stop.close()
        thread.join()
        stopped.close()


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[dict[str, socket.socket]]:
    """Start QEMU with new sockets in place of those that are named; yields our ends by name, and ends it."""
    ours: dict[str, socket.socket] = {}
    theirs: dict[str, socket.socket] = {}

    def renew(found: re.Match[str]) -> str:
        ours[found[1]], theirs[found[1]] = socket.socketpair()
        return f"socket,id={found[1]},fd={theirs[found[1]].fileno()}"

    process = None
    try:
        words = [_SOCKET.sub(renew, word) for word in command]
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[end.fileno() for end in theirs.values()],
            env=owner.environment(),
        )
        for end in theirs.values():
            end.close()
        yield ours
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        for end in (*ours.values(), *theirs.values()):
            end.close()
