"""What can still be asked of a machine after a failure, written to one file for people."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from sim.errors import NoScreen, QmpFailed
from sim.qmp import Qmp
from sim.screen import take_picture

# So long (s) the questions may take together; a QEMU that hangs is not waited for.
PATIENCE = 5.0
# The state as programs read it, then what a person would type next in QEMU's monitor.
QUERIES = ("query-status", "query-cpus-fast")
MONITOR = ("info registers -a", "info pic", "info chardev")


async def examine(qmp: Qmp, path: Path, screen: Path | None, tails: Callable[[], Mapping[str, str]]) -> None:
    """Write state, every CPU's registers, a picture for `screen` if there is a display, and the consoles' `tails`.

    What QEMU does not answer in time is said in the file. Raises OSError when that cannot be written.
    """
    with path.open("w") as stream:
        try:
            async with asyncio.timeout(PATIENCE):
                await _ask(qmp, stream)
                if screen is not None:
                    stream.write(f"screen: {await _picture(qmp, screen)}\n\n")
        except (TimeoutError, QmpFailed) as error:
            stream.write(f"QEMU no longer answers: {str(error) or 'no answer in time'}\n\n")
        for name, tail in tails().items():
            stream.write(f"last lines of console {name}:\n{tail or '(it printed nothing)'}\n\n")


async def _ask(qmp: Qmp, stream: TextIO) -> None:
    for query in QUERIES:
        stream.write(f"{query}: {json.dumps(await qmp.execute(query), indent=1)}\n\n")
    for line in MONITOR:
        text = await qmp.execute("human-monitor-command", command_line=line)
        stream.write(f"(qemu) {line}\n{text}\n\n")


async def _picture(qmp: Qmp, screen: Path) -> str:
    screen.parent.mkdir(parents=True, exist_ok=True)
    try:
        await take_picture(qmp, screen)
    except NoScreen as error:
        with contextlib.suppress(OSError):
            screen.parent.rmdir()
        return error.message
    return f"screens/{screen.name}"
