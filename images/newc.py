"""A writer of initramfs archives (cpio "newc"): the same entries give the same bytes; no root, no mknod.

The format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

from images.errors import BuildError

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
_BLOCK = 512


@dataclass(frozen=True)
class Node:
    """One entry: `mode` with its file type, `data` a file's content or a link's target, `device` (major, minor)."""

    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


class Newc:
    """Entries by absolute path. Folders on the way to an entry are added by themselves (0755)."""

    def __init__(self) -> None:
        self._entries: dict[str, Node] = {}

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a folder, or set the mode of one that is there. Raises BuildError when it is something else."""
        self._add(path, Node(stat.S_IFDIR | mode))

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file. Raises BuildError when the path is taken."""
        self._add(path, Node(stat.S_IFREG | mode, data))

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link. Raises BuildError when the path is taken."""
        self._add(path, Node(stat.S_IFLNK | 0o777, target.encode()))

    def device(self, path: str, kind: str, major: int, minor: int, mode: int) -> None:
        """Add a device node, `kind` being "char" or "block". Raises BuildError when the path is taken."""
        kinds = {"char": stat.S_IFCHR, "block": stat.S_IFBLK}
        self._add(path, Node(kinds[kind] | mode, device=(major, minor)))

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._entries

    def to_bytes(self) -> bytes:
        """Return the archive, folders before what is in them."""
        out = bytearray()
        for inode, (path, node) in enumerate(sorted(self._entries.items()), start=1):
            _append(out, inode, path, node)
        _append(out, 0, _TRAILER, Node(0))
        out += b"\0" * (-len(out) % _BLOCK)
        return bytes(out)

    def _add(self, path: str, node: Node) -> None:
        name = path.strip("/")
        if not name or ".." in name.split("/"):
            raise BuildError(f"'{path}' is no path for an entry of an initramfs")
        before = self._entries.get(name)
        if before and not (stat.S_ISDIR(before.mode) and stat.S_ISDIR(node.mode)):
            raise BuildError(f"two entries of the initramfs are called /{name}")
        parent = name.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.directory(parent)
        if parent and not stat.S_ISDIR(self._entries[parent].mode):
            raise BuildError(f"/{name} cannot be in the initramfs: /{parent} is no folder")
        self._entries[name] = node


def _append(out: bytearray, inode: int, path: str, node: Node) -> None:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(node.mode) else 1
    # inode mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, node.mode, 0, 0, links, 0, len(node.data), 0, 0, *node.device, len(name), 0)
    out += _MAGIC.encode() + "".join(f"{value:08X}" for value in fields).encode() + name
    out += b"\0" * (-len(out) % 4)
    out += node.data
    out += b"\0" * (-len(out) % 4)
