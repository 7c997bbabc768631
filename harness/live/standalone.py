"""A machine's command line without the harness: for a person with a QEMU and nothing of ours."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.machine import machine_spec, ports_of, slots_of
from harness.resolve import Resolved
from harness.runspec import RunSpec
from sim.spec import MachineSpec

# The console, and behind Ctrl-A c the monitor, on the terminal; who speaks QMP finds it here.
CONSOLE = "stdio,id=console,mux=on,signal=off"
QMP = "socket,id=qmp,path={},server=on,wait=off"


def machine_of(spec: RunSpec, resolved: Resolved) -> MachineSpec:
    """Return the machine that a cell starts for its first dom0, booted."""
    return replace(machine_spec(spec, resolved), ports=ports_of(slots_of(spec)))


def standalone(machine: MachineSpec, *, qmp: str = "qmp.sock", files: Mapping[str, str] | None = None) -> list[str]:
    """Return QEMU's arguments for a machine whose console is on the terminal, all else as a cell has it.

    What the harness would be at the other end of is nobody's: ports swallow what comes out of them. Switched off from
    inside, QEMU ends. `files` are paths that stand for others.
    """
    args = machine.arguments({})
    words = ["-chardev", CONSOLE, "-mon", "chardev=console", "-chardev", QMP.format(qmp)]
    for name in ("command", *machine.ports):
        words += ["-chardev", f"null,id={name}"]
    action = args.index("-action")
    for word in [*args[:action], *args[action + 2 :]]:
        words.append(_renamed(word, files or {}))
    return words


def written(command: list[str]) -> str:
    """Return a command as a shell takes it, an option to a line."""
    text = ""
    for word in command:
        text += f" \\\n  {shlex.quote(word)}" if word.startswith("-") and text else f" {shlex.quote(word)}"
    return text.strip()


def _renamed(word: str, files: Mapping[str, str]) -> str:
    for path, name in files.items():
        word = word.replace(path, name)
    return word


def recorded(directory: Path) -> str:
    """Return the command line that a cell's first machine was started with, "" if it was not."""
    path = directory / "qemu.cmdline"
    return path.read_text().strip() if path.exists() else ""
