"""The disk that dom0 boots from: its partitions, its file system, its GRUB configuration."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from base.errors import InfraError
from harness.bootdisk import (
    LINUX,
    MIB,
    PREP,
    SECTOR,
    Partition,
    boot_from_disk,
    grub_config,
    pack,
    partition_table,
    write_disk,
)
from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _entries(disk: Path) -> list[tuple[int, int, int, int]]:
    """Read a partition table back: boot flag, kind, first byte and length of each entry."""
    with disk.open("rb") as stream:
        sector = stream.read(SECTOR)
    assert sector[510:] == b"\x55\xaa"
    fields = [struct.unpack_from("<B3xB3xII", sector, 446 + 16 * number) for number in range(4)]
    return [(flag, kind, start * SECTOR, length * SECTOR) for flag, kind, start, length in fields if kind]


def _read(disk: Path, offset: int, name: str) -> bytes:
    """Read a file out of an ext2 file system inside a disk, with e2fsprogs' own program."""
    debugfs = shutil.which("debugfs", path=SBIN)
    assert debugfs is not None
    command = [debugfs, "-R", f"cat {name}", f"{disk}?offset={offset}"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_table_names_kinds_and_places_and_boots_the_first() -> None:
    table = partition_table([Partition(PREP, MIB, 2 * MIB), Partition(LINUX, 3 * MIB, 9 * MIB)])
    assert len(table) == SECTOR
    assert table[446:462] == bytes.fromhex("80 feffff 41 feffff 00080000 00100000")
    assert table[462:478] == bytes.fromhex("00 feffff 83 feffff 00180000 00480000")
    assert not any(table[478:510])


@pytest.mark.parametrize("size", [0, 5, 3 * MIB, 40 * MIB + 1])
def test_a_disk_holds_the_loader_raw_and_the_files(size: int, tmp_path: Path) -> None:
    tree, disk = tmp_path / "tree", tmp_path / "disk"
    (tree / "boot").mkdir(parents=True)
    content = os.urandom(size)
    (tree / "boot/file").write_bytes(content)
    loader = os.urandom(MIB + 3)
    write_disk(disk, loader, tree)
    prep, files = _entries(disk)
    assert prep == (0x80, PREP, MIB, 2 * MIB)
    assert files[:3] == (0, LINUX, 3 * MIB)
    assert disk.stat().st_size == files[2] + files[3]
    with disk.open("rb") as stream:
        stream.seek(MIB)
        assert stream.read(2 * MIB) == loader.ljust(2 * MIB, b"\0")
    assert _read(disk, files[2], "/boot/file") == content


def test_a_file_system_that_cannot_be_made_is_the_hosts_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bootdisk.MKE2FS", "no-such-program")
    with pytest.raises(InfraError, match="no-such-program is not on this host"):
        write_disk(tmp_path / "disk", b"", tmp_path)
    monkeypatch.setattr("harness.bootdisk.MKE2FS", "false")
    with pytest.raises(InfraError, match="cannot make the file system"):
        write_disk(tmp_path / "disk", b"", tmp_path)


def test_words_with_a_meaning_in_grubs_language_are_quoted() -> None:
    text = grub_config("console=hvc0  log=$x;reboot quiet")
    assert "  linux /boot/vmlinux console=hvc0 'log=$x;reboot' quiet\n" in text


def test_what_has_no_initramfs_is_loaded_alone() -> None:
    assert "initrd /boot/initramfs.cpio.gz\n" in grub_config("quiet")
    assert "initrd" not in grub_config("quiet", initrd=False)


def test_a_machine_is_given_the_disk_instead_of_a_kernel_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("kernel", "initrd", "loader"):
        (tmp_path / name).write_text(f"the {name}")
    spec = MachineSpec(
        platform=find_platform("pseries-970"),
        qemu=QemuBinary(("qemu",), "10.0.13"),
        firmware="slof",
        kernel=tmp_path / "kernel",
        initrd=tmp_path / "initrd",
        append="quiet",
        args=("-S",),
        fds=(7,),
    )
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    changed, number = boot_from_disk(spec, tmp_path / "loader", evidence)
    try:
        assert not any(evidence.iterdir())
        words = changed.arguments({})
        assert "-kernel" not in words
        assert "-initrd" not in words
        assert words[-5] == "-S"
        assert f"file.filename=/proc/self/fd/{number}" in words[-3]
        assert changed.fds == (7, number)
        disk = Path(f"/proc/self/fd/{number}")
        offset = _entries(disk)[1][2]
        copy = tmp_path / "copy"
        copy.write_bytes(disk.read_bytes())
    finally:
        os.close(number)
    assert _read(copy, offset, "/boot/vmlinux") == b"the kernel"
    assert gzip.decompress(_read(copy, offset, "/boot/initramfs.cpio.gz")) == b"the initrd"
    assert f"linux /boot/vmlinux {spec.kernel_command_line}\n".encode() in _read(copy, offset, "/boot/grub/grub.cfg")


def test_an_initramfs_is_packed_once(tmp_path: Path) -> None:
    plain, packed, target = tmp_path / "plain", tmp_path / "packed", tmp_path / "target"
    plain.write_bytes(b"070701" + bytes(5000))
    pack(plain, target)
    assert gzip.decompress(target.read_bytes()) == plain.read_bytes()
    packed.write_bytes(lzma.compress(plain.read_bytes()))
    pack(packed, target)
    assert target.read_bytes() == packed.read_bytes()
