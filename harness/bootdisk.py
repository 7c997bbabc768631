"""A disk that dom0 boots from: a PReP partition with a boot loader, and a file system with what that loads."""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from base.errors import InfraError
from sim.bootable import is_compressed
from sim.spec import MachineSpec

SECTOR = 512
MIB = 1 << 20
PREP, LINUX = 0x41, 0x83
MKE2FS = "mke2fs"
# What the file system itself needs (MiB), and its share of what it holds.
LEAST, SHARE = 4, 0.05
QUICKLY = 1
# Sectors are given by number; these say that there is no cylinder, head and sector.
_NO_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True)
class Partition:
    """An entry of a partition table: first byte and length, both whole sectors."""

    kind: int
    start: int
    length: int


def boot_from_disk(spec: MachineSpec, loader: Path, folder: Path) -> tuple[MachineSpec, int]:
    """Return a machine that loads its kernel from a disk, and the disk's descriptor, which the caller closes.

    The disk has no name in any folder: nothing of it can be left behind. Raises InfraError, OSError.
    """
    if spec.kernel is None:
        raise InfraError("a disk to boot from needs a kernel")
    config = grub_config(spec.kernel_command_line, initrd=spec.initrd is not None)
    with tempfile.TemporaryDirectory(dir=folder, prefix="disk.") as work:
        tree, image = Path(work, "tree"), Path(work, "image")
        (tree / "boot/grub").mkdir(parents=True)
        (tree / "boot/grub/grub.cfg").write_text(config)
        shutil.copyfile(spec.kernel, tree / "boot/vmlinux")
        if spec.initrd:
            pack(spec.initrd, tree / "boot/initramfs.cpio.gz")
        write_disk(image, loader.read_bytes(), tree)
        number = os.open(image, os.O_RDWR)
    disk = f"driver=raw,node-name=boot,file.driver=file,file.filename=/proc/self/fd/{number},file.locking=off"
    args = ("-blockdev", disk, "-device", f"{spec.platform.disk},drive=boot")
    return replace(spec, kernel=None, initrd=None, args=(*spec.args, *args), fds=(*spec.fds, number)), number


def pack(initrd: Path, target: Path) -> None:
    """Copy an initramfs, packed unless it is: firmware reads slowly (OpenBIOS 1 MiB/s), the kernel unpacks quickly.

    Raises OSError.
    """
    with initrd.open("rb") as stream:
        is_packed = is_compressed(stream.read(SECTOR))
        stream.seek(0)
        with target.open("wb") if is_packed else gzip.open(target, "wb", QUICKLY) as packed:
            shutil.copyfileobj(stream, packed, MIB)


def grub_config(command_line: str, *, initrd: bool = True) -> str:
    """Return what tells GRUB to load `/boot/vmlinux` with these arguments, and if need be `/boot/initramfs.cpio.gz`."""
    words = shlex.join(command_line.split())
    return (
        "set timeout=0\n"
        "menuentry dom0 {\n"
        '  echo "Loading dom0 from $root"\n'
        f"  linux /boot/vmlinux {words}\n" + ("  initrd /boot/initramfs.cpio.gz\n" if initrd else "") + "}\n"
    )


def write_disk(path: Path, loader: bytes, tree: Path) -> None:
    """Write a disk: `loader`, raw, in a PReP partition, then an ext2 file system with a copy of `tree`.

    Raises InfraError when the file system cannot be made, OSError.
    """
    size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
    first = Partition(PREP, MIB, _whole_mib(len(loader)))
    second = Partition(LINUX, first.start + first.length, _whole_mib(int(size * (1 + SHARE))) + LEAST * MIB)
    with path.open("wb") as disk:
        disk.write(partition_table([first, second]))
        disk.seek(first.start)
        disk.write(loader)
        disk.truncate(second.start + second.length)
    where = f"offset={second.start},root_owner=0:0"
    make_ext2(str(path), tree, extended=where, size=f"{second.length // 1024}k")


def partition_table(partitions: Iterable[Partition]) -> bytes:
    """Return a disk's first sector (DOS label, no code); the first partition is the one to boot."""
    entries = [
        struct.pack(
            "<B3sB3sII",
            0 if number else 0x80,
            _NO_CHS,
            partition.kind,
            _NO_CHS,
            partition.start // SECTOR,
            partition.length // SECTOR,
        )
        for number, partition in enumerate(partitions)
    ]
    return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def make_ext2(target: str, tree: Path, *, extended: str = "", size: str = "", pass_fds: Sequence[int] = ()) -> None:
    """Make an ext2 file system with a copy of `tree` in a file. Raises InfraError.

    `extended` are mke2fs's extended options, `size` is as it takes one ("": the file's), `pass_fds` are descriptors
    that `target` speaks of.
    """
    program = shutil.which(MKE2FS, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise InfraError(f"{MKE2FS} is not on this host", hint="apt-get install e2fsprogs")
    command = [program, "-q", "-F", "-t", "ext2", "-m", "0", "-d", str(tree)]
    command += [*(["-E", extended] if extended else []), target, *([size] if size else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=pass_fds)
    if done.returncode:
        raise InfraError(f"cannot make the file system of a disk: {done.stderr.strip()}", hint=shlex.join(command))


def _whole_mib(size: int) -> int:
    return -(-size // MIB) * MIB
