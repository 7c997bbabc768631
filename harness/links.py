"""What joins the machines of one cell: a network, and a disk that all of them see."""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass

from base.paths import cache_root
from sim.platform import Platform

SHARED_DISK = "virtio-blk-pci"


@dataclass(frozen=True)
class Link:
    """One machine's part: arguments of its QEMU, and the descriptors that they name."""

    args: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()


class Links:
    """The network between `hosts` (two at most: a cable), and a shared disk of so many MiB (0: none).

    Cable and disk are descriptors without a name in any folder: nothing of them can be left behind.
    """

    def __init__(self, hosts: tuple[str, ...], shared_disk: int) -> None:
        self._cable: dict[str, socket.socket] = {}
        self._disk: int | None = None
        if len(hosts) > 1:
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._cable = dict(zip(hosts, ends, strict=True))
        if shared_disk:
            folder = cache_root()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(shared_disk << 20)
                self._disk = os.dup(file.fileno())

    def of(self, host: str, platform: Platform) -> Link:
        """Return what a machine is given of them."""
        args: list[str] = []
        fds: list[int] = []
        if host in self._cable:
            number = self._cable[host].fileno()
            mac = f"52:54:00:00:01:{1 + list(self._cable).index(host):02x}"
            args += ["-netdev", f"dgram,id=cable,local.type=fd,local.str={number}"]
            args += ["-device", f"{platform.nic},netdev=cable,mac={mac}"]
            fds.append(number)
        if self._disk is not None:
            # Both machines write to it; whoever uses it sees to it that not both do so at once.
            file = f"file.driver=file,file.filename=/proc/self/fd/{self._disk},file.locking=off"
            args += ["-blockdev", f"driver=raw,node-name=shared,{file}"]
            args += ["-device", f"{platform.shared_disk or SHARED_DISK},drive=shared,share-rw=on"]
            fds.append(self._disk)
        return Link(tuple(args), tuple(fds))

    def close(self) -> None:
        """Let go of cable and disk."""
        for end in self._cable.values():
            end.close()
        self._cable.clear()
        if self._disk is not None:
            os.close(self._disk)
            self._disk = None
