"""QEMU's gdb stub, opened while the machine runs and closed again: nobody who needs no debugger has one."""

from __future__ import annotations

from typing import Any

from sim.errors import QmpFailed
from sim.qmp import Qmp

CHARDEV = "gdb"
# What the monitor's command `gdbserver` prints (QEMU, monitor/hmp-target.c and monitor/hmp-cmds.c).
OPENED, CLOSED = "Waiting for gdb connection", "Disabled gdbserver"


async def open_stub(qmp: Qmp, backend: dict[str, Any]) -> None:
    """Let gdb in by a new character device; the machine stops until gdb lets it go on. Raises QmpFailed."""
    await qmp.execute("chardev-add", id=CHARDEV, backend=backend)
    await _gdbserver(qmp, f"chardev:{CHARDEV}", OPENED)


async def close_stub(qmp: Qmp) -> None:
    """Let no gdb in any more; its character device is gone. Raises QmpFailed."""
    await _gdbserver(qmp, "none", CLOSED)


async def registers(qmp: Qmp) -> str:
    """Return what QEMU itself says of the first CPU's registers. Raises QmpFailed."""
    return str(await qmp.execute("human-monitor-command", command_line="info registers"))


async def _gdbserver(qmp: Qmp, device: str, wanted: str) -> None:
    # QMP has no command for it, only the monitor for people.
    said = str(await qmp.execute("human-monitor-command", command_line=f"gdbserver {device}"))
    if wanted not in said:
        raise QmpFailed(f"QMP {qmp.name}: gdbserver {device}: {said.strip() or 'no answer'}")
