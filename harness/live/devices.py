"""What a person plugs into a live machine: disks, a folder of the host's, a network to the host."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

from base.errors import UsageError
from harness.bootdisk import make_ext2
from harness.links import Link
from sim.platform import Platform

TAG, PLACE = "share", "/mnt/share"
# Of what a folder takes up, so much more is given to the file system that holds a copy of it, and MiB on top.
ROOM, LEAST = 1.2, 8
# What QEMU's user network gives and is (QEMU's manual, "Using the user mode network stack").
ADDRESS, GATEWAY, RESOLVER = "10.0.2.15/24", "10.0.2.2", "10.0.2.3"


@dataclass(frozen=True)
class Devices:
    """Files that become disks, a folder that dom0 finds at /mnt/share, and whether there is a network.

    The folder is shared by 9p, both ways, or is a copy of it on a `disk`; `forwards` are pairs of ports, of the
    host's and of dom0's.
    """

    disks: tuple[Path, ...] = ()
    share: Path | None = None
    share_as: Literal["9p", "disk"] = "9p"
    network: bool = False
    forwards: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.disks or self.share or self.network)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add the options that `of` reads."""
        parser.add_argument("--disk", metavar="F", action="append", default=[], help="a disk image (raw or qcow2)")
        parser.add_argument("--share", metavar="DIR", type=Path, help=f"a folder that dom0 finds at {PLACE}")
        parser.add_argument(
            "--share-as",
            choices=("9p", "disk"),
            default="9p",
            help="9p: the folder itself; disk: a copy on an ext2 disk",
        )
        parser.add_argument("--net", action="store_true", help="a network card, and by it the host's network")
        parser.add_argument(
            "--forward", metavar="H:D", action="append", default=[], help="the host's port H leads to dom0's port D"
        )

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """Return what the options say. Raises UsageError for what is not there."""
        disks = tuple(Path(word).absolute() for word in options.disk)
        for path in disks:
            if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
                raise UsageError(f"--disk: {path} is no file that can be read and written")
        share = options.share.absolute() if options.share else None
        if share is not None and not share.is_dir():
            raise UsageError(f"--share: {share} is no folder")
        forwards = tuple(_ports(word) for word in options.forward)
        return cls(disks, share, options.share_as, options.net or bool(forwards), forwards)

    def link(self, platform: Platform, kept: list[IO[bytes]]) -> Link:
        """Return QEMU's arguments; `kept` takes the files that must stay open while it runs. Raises InfraError."""
        device = platform.disk.partition(",bootindex")[0]
        args: list[str] = []
        fds: list[int] = []
        for number, path in enumerate(self.disks):
            name = f"disk{number}"
            driver = "qcow2" if _starts_with(path, b"QFI\xfb") else "raw"
            args += ["-blockdev", f"driver={driver},node-name={name},file.driver=file,file.filename={_quoted(path)}"]
            args += ["-device", f"{_on_unit(device, number)},drive={name}"]
        if self.share is not None and self.share_as == "9p":
            args += ["-fsdev", f"local,id={TAG},path={_quoted(self.share)},security_model=none"]
            args += ["-device", f"virtio-9p-pci,fsdev={TAG},mount_tag={TAG}"]
        elif self.share is not None:
            file = copy_of(self.share)
            kept.append(file)
            fds.append(file.fileno())
            where = f"file.filename=/proc/self/fd/{file.fileno()},file.locking=off"
            args += ["-blockdev", f"driver=raw,node-name={TAG},file.driver=file,{where}"]
            args += ["-device", f"virtio-blk-pci,drive={TAG},serial={TAG}"]
        if self.network:
            ports = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{dom0}" for host, dom0 in self.forwards)
            args += ["-netdev", f"user,id=net{ports}", "-device", f"{platform.nic},netdev=net"]
        return Link(tuple(args), tuple(fds))

    @property
    def script(self) -> str:
        """What dom0 has to run to use them, "" for nothing."""
        lines = []
        if self.share is not None:
            lines.append(f"mkdir -p {PLACE}")
        if self.share is not None and self.share_as == "9p":
            lines.append(f"mount -t 9p -o trans=virtio,version=9p2000.L {TAG} {PLACE}")
        elif self.share is not None:
            found = f'for disk in /sys/block/vd*; do [ "$(cat $disk/serial)" = {TAG} ] && echo ${{disk##*/}}; done'
            lines.append(f'mount -t ext2 "/dev/$({found})" {PLACE}')
        if self.network:
            # The first card that is no software's: what only the kernel made has no device.
            lines += [
                "for card in /sys/class/net/*/device; do card=${card%/device}; card=${card##*/}; break; done",
                f"ip address add {ADDRESS} dev $card && ip link set $card up && ip route add default via {GATEWAY}",
                f"echo nameserver {RESOLVER} >/etc/resolv.conf",
            ]
        return "\n".join(["set -e", *lines]) if lines else ""


def copy_of(folder: Path) -> IO[bytes]:
    """Return an ext2 disk, without a name in any folder, with a copy of `folder`. Raises InfraError, OSError."""
    used = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    file = tempfile.TemporaryFile()  # noqa: SIM115  (whoever starts the machine closes it)
    try:
        file.truncate((int(used * ROOM) >> 20) + LEAST << 20)
        make_ext2(f"/proc/self/fd/{file.fileno()}", folder, pass_fds=(file.fileno(),))
    except BaseException:
        file.close()
        raise
    return file


def _ports(word: str) -> tuple[int, int]:
    host, _, dom0 = word.partition(":")
    if not (host.isdigit() and dom0.isdigit() and 0 < int(host) < 65536 and 0 < int(dom0) < 65536):
        raise UsageError(f"--forward: '{word}' is not HOST:DOM0, two ports", hint="--forward 2222:22")
    return int(host), int(dom0)


def _on_unit(device: str, number: int) -> str:
    """Return a disk's device; those of an IDE bus have two units."""
    return f"{device},unit={number}" if device.startswith("ide-hd") else device


def _quoted(path: Path) -> str:
    """Return a path as QEMU's options take it: a comma is written twice."""
    return str(path).replace(",", ",,")


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic
