"""What a platform starts, and what is said of what it does not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import UsageError
from base.paths import PROJECT
from base.yamlmodel import YamlError
from sim.bootable import check_firmware, check_initrd, check_kernel
from sim.platform import FOLDER, find_platform, load_platforms
from tests.fakes.elf import PPC, X86_64, make_elf

GOOD = make_elf()
RAM = 1024 << 20
CAPABILITIES = ("inh-caps", "bounding-set")


def _words(value: object) -> str:
    """Return a parameter's part of a test's name: contents are not for reading."""
    return str(value) if isinstance(value, str | bool) else ""


def _refused(check: Callable[[], None]) -> str:
    """Return the one line that is said, of an error that has a hint."""
    with pytest.raises(UsageError) as caught:
        check()
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def _kernel(path: Path, content: bytes | None = None, platform: str = "g5") -> None:
    if content is not None:
        path.write_bytes(content)
    one = find_platform(platform)
    check_kernel(path, one.images, one.name, one.memory)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (make_elf(order="<"), "little-endian ELF; g5 starts big-endian images"),
        (make_elf(bits=32, virtual=0), "32-bit ELF; g5 starts 64-bit images"),
        (make_elf(bits=32, virtual=0, machine=PPC), "32-bit ELF; g5 starts 64-bit images"),
        (make_elf(order="<", machine=X86_64), "an ELF file for x86-64; g5 starts those for ppc64"),
        (make_elf(machine=9999), "an ELF file for machine 9999; g5 starts those for ppc64"),
        (make_elf(kind=1), "an object file that was not linked; g5 starts programs"),
        (make_elf(kind=4), "a core dump; g5 starts programs"),
        (make_elf(program_type=4), "nothing in it is to be loaded"),
        (make_elf(physical=1 << 28), "loaded at 0x10000000 (0x1000 bytes), outside of the memory of g5"),
        (make_elf(memory=RAM), "outside of the memory of g5 (0x10000000 bytes for it)"),
        (make_elf(entry=0xC000000000001000), "entered at 0xc000000000001000, where nothing of it is loaded"),
        (GOOD[:10], "truncated: it ends inside its ELF header"),
        (GOOD[:60], "truncated: it ends inside its ELF header"),
        (GOOD[:100], "truncated: its program headers end at byte 120 of 100"),
        (GOOD[:300], "truncated: "),
        (GOOD[:-1], "truncated: its section table ends at byte 440 of 439"),
        (make_elf(sections=0)[:-1], "truncated: what is to be loaded ends at byte 376 of 375"),
        (b"\x7fELF" + bytes(60), "its ELF header is damaged"),
        (b"#!/bin/sh\necho vmlinux\n", "a text file, not an ELF file"),
        ("Größe\n".encode() * 2000, "a text file, not an ELF file"),
        (gzip.compress(GOOD), "gzip-compressed; g5 starts ELF files"),
        (lzma.compress(GOOD), "xz-compressed; g5 starts ELF files"),
        (b"\x28\xb5\x2f\xfd1234", "zstd-compressed; g5 starts ELF files"),
        (b"\x27\x05\x19\x56" + bytes(60), "a U-Boot image, not an ELF file"),
        (b"MZ" + bytes(60), "a bzImage or an EFI program, not an ELF file"),
        (b"070701" + bytes(60), "a cpio archive, not an ELF file"),
        (bytes(64), "a file of no known kind, not an ELF file"),
        (b"", "an empty file, not a kernel"),
    ],
    ids=_words,
)
def test_what_the_g5_cannot_start_is_told_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    assert said in (message := _refused(lambda: _kernel(path, content)))
    assert str(path) in message


def test_a_hint_says_how_to_unpack(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gunzip it first"):
        _kernel(tmp_path / "vmlinux.gz", gzip.compress(GOOD))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "a directory, not a kernel" in _refused(lambda: _kernel(tmp_path))
    assert "No such file" in _refused(lambda: _kernel(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in _refused(lambda: _kernel(tmp_path / "pipe"))
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in _refused(lambda: _kernel(tmp_path / "loop"))


def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(GOOD)
    path.chmod(0)
    program = (
        "import sys; from pathlib import Path; from sim.bootable import check_kernel, ImageRules\n"
        "from base.errors import UsageError\n"
        "try: check_kernel(Path(sys.argv[1]), ImageRules(), 'g5', 1024)\n"
        "except UsageError as error: print(error)"
    )
    command = [sys.executable, "-c", program, str(path)]
    if os.geteuid() == 0:
        # Root may read all, unless it gives that up.
        command = ["setpriv", *(f"--{kind}=-dac_override,-dac_read_search" for kind in CAPABILITIES), *command]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    said = f"cannot read the kernel {path}: Permission denied\n  hint: check its permissions\n"
    assert done.stdout == said, done.stderr


@pytest.mark.parametrize(
    ("platform", "order", "fine"),
    [
        ("g5", ">", True),
        ("pseries-970", ">", True),
        ("pseries-970", "<", False),
        ("pseries-power9", ">", True),
        ("pseries-power9", "<", True),
    ],
)
def test_each_platform_has_its_orders(platform: str, order: str, fine: bool, tmp_path: Path) -> None:
    path, content = tmp_path / "vmlinux", make_elf(order=order)
    if fine:
        _kernel(path, content, platform)
    else:
        assert "little-endian ELF" in _refused(lambda: _kernel(path, content, platform))


@given(physical=st.integers(0, (1 << 64) - 1), memory=st.integers(1, 1 << 30))
def test_only_what_lies_in_the_memory_is_taken(
    physical: int, memory: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    platform = find_platform("g5")
    rules = platform.images
    path = tmp_path_factory.mktemp("elf") / "vmlinux"
    path.write_bytes(make_elf(physical=physical, memory=memory))
    low = physical & ((1 << 60) - 1)
    inside = low < 1 << rules.address_bits and low + rules.at + memory <= platform.memory << 20
    try:
        check_kernel(path, rules, platform.name, platform.memory)
        assert inside
    except UsageError as error:
        assert not inside
        assert "outside of the memory" in error.message


@given(data=st.data())
def test_no_beginning_of_a_kernel_is_taken_for_the_whole(data: st.DataObject, tmp_path_factory: Any) -> None:
    bits = data.draw(st.sampled_from([32, 64]))
    whole = make_elf(bits=bits, virtual=0, machine=PPC if bits == 32 else 21)
    length = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("elf") / "vmlinux"
    path.write_bytes(whole[:length])
    with pytest.raises(UsageError):
        _kernel(path)


def test_rules_that_name_no_machine_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "g5.yaml").write_text(
        (FOLDER / "g5.yaml").read_text().replace("machine: [ppc64], at", "machine: [p64], at")
    )
    with pytest.raises(YamlError, match=r"g5.yaml:\d+:\d+: no machine 'p64'; did you mean 'ppc64'"):
        load_platforms(tmp_path)


def _cpio(*names: str) -> bytes:
    archive = b""
    for name in (*names, "TRAILER!!!"):
        content = b"" if name == "TRAILER!!!" else b"content"
        fields = [0, 0o100755, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        entry = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += entry + bytes(-len(entry) % 4) + content + bytes(-len(content) % 4)
    return archive


ARCHIVE = _cpio("init", "bin/busybox")


@pytest.mark.parametrize(
    "content",
    [
        ARCHIVE,
        ARCHIVE + bytes(512),
        gzip.compress(ARCHIVE),
        lzma.compress(ARCHIVE),
        lzma.compress(ARCHIVE, lzma.FORMAT_ALONE),
        bz2.compress(ARCHIVE),
        b"\x28\xb5\x2f\xfdzstd, which Linux unpacks and we do not",
    ],
    ids=["plain", "padded", "gzip", "xz", "lzma", "bzip2", "zstd"],
)
def test_what_linux_unpacks_is_an_initramfs(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(content)
    check_initrd(path, "g5", 1024)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file, not an initramfs"),
        (b"a text\n", "a text file, not an initramfs"),
        (GOOD, "an ELF file, not an initramfs"),
        (gzip.compress(b"a text\n"), "a text file inside gzip, not an initramfs"),
        (gzip.compress(GOOD), "an ELF file inside gzip, not an initramfs"),
        (b"\x1f\x8bno gzip", "damaged gzip data"),
        (b"\xfd7zXZ\x00no xz at all, of no length", "damaged xz data"),
        (ARCHIVE[:200], "truncated: a cpio archive without its end"),
        (ARCHIVE[:-124], "truncated: a cpio archive without its end"),
        (ARCHIVE[:6] + b"zzzzzzzz" * 13 + ARCHIVE[110:], "a damaged cpio header at byte 0"),
        (ARCHIVE[:128] + b"x" + ARCHIVE[129:], "no cpio header at byte 124"),
    ],
    ids=_words,
)
def test_what_is_no_initramfs_is_told_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(content)
    assert said in _refused(lambda: check_initrd(path, "g5", 1024))


def test_an_initramfs_must_have_room_and_be_a_file(tmp_path: Path) -> None:
    assert "a directory, not an initramfs" in _refused(lambda: check_initrd(tmp_path, "g5", 1024))
    path = tmp_path / "initrd"
    with path.open("wb") as stream:
        stream.truncate(2 << 20)
    assert "2 MiB of initramfs; g5 has 1 MiB of memory" in _refused(lambda: check_initrd(path, "g5", 1))


@pytest.mark.parametrize(
    ("platform", "content", "said"),
    [
        ("g5", make_elf(bits=32, virtual=0xFFF00000, machine=PPC), ""),
        ("g5", bytes(1 << 20), ""),
        ("g5", bytes((1 << 20) + 1), "1048577 bytes; g5 has room for 1048576 bytes of firmware"),
        ("g5", make_elf(), "64-bit ELF; g5 starts 32-bit images"),
        ("g5", b"text\n", "a text file, not a firmware"),
        ("g5", gzip.compress(bytes(100)), "gzip-compressed; g5 starts none"),
        ("pseries-970", bytes(4 << 20), ""),
        ("pseries-970", bytes((4 << 20) + 1), "has room for 4194304 bytes"),
        ("pseries-970", make_elf(), "an ELF file; pseries-970 starts raw firmware"),
    ],
    ids=_words,
)
def test_a_firmware_is_what_the_board_has_room_for(platform: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "firmware"
    path.write_bytes(content)
    one = find_platform(platform)
    if said:
        assert said in _refused(lambda: check_firmware(path, one.own_firmware, one.name))
    else:
        check_firmware(path, one.own_firmware, one.name)


def test_a_platform_without_rules_takes_no_firmware(tmp_path: Path) -> None:
    assert re.match("x takes no firmware of yours", _refused(lambda: check_firmware(tmp_path / "f", None, "x")))
