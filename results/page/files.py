"""Small files by the thousand: with the fewest calls of the system."""

from __future__ import annotations

import os

_NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def write_over(path: str, data: bytes) -> None:
    """Write a file, over one that is there. Raises OSError."""
    _write(os.open(path, _NEW | os.O_TRUNC, 0o666), data)


def write_whole(path: str, data: bytes) -> None:
    """Write a file, whole or not at all for whoever reads meanwhile. Raises OSError.

    It may be lost when the host crashes: it can be made again.
    """
    temporary = f"{path}.{os.getpid()}"
    _write(os.open(temporary, _NEW | os.O_EXCL, 0o666), data)
    os.rename(temporary, path)  # noqa: PTH104  (speed)


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
