"""A window for a machine's screen, or where there is none, a socket for a VNC viewer."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from base import owner
from sim.qemu import QemuBinary

# QEMU's displays that open a window, the better one first.
WINDOWS = ("gtk", "sdl")
SOCKET = "vnc"


@dataclass(frozen=True)
class Shown:
    """How a screen is shown: QEMU's arguments, and what the person is told."""

    args: tuple[str, ...]
    told: str


def shown(qemu: QemuBinary, folder: Path) -> Shown:
    """Return how a machine's screen can be shown here; `folder` is for the socket. Raises OSError."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        said = subprocess.run(
            [*qemu.command, "-display", "help"],
            env={**owner.environment(), **qemu.environment},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for name in WINDOWS:
            if re.search(rf"^{name}$", said, re.MULTILINE):
                return Shown(("-display", name), f"the screen is in QEMU's window ({name})")
    path = folder / SOCKET
    return Shown(("-vnc", f"unix:{path}"), f"the screen: vncviewer {path}   (a picture: Ctrl-] i)")
