"""Which kernel a file is."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from base.errors import UsageError
from harness.kernel import build_id, identify, read_banner


def note(kind: int, name: bytes, content: bytes, order: str = ">") -> bytes:
    def padded(data: bytes) -> bytes:
        return data + b"\0" * (-len(data) % 4)

    return struct.pack(f"{order}III", len(name), len(content), kind) + padded(name) + padded(content)


def test_the_build_id_is_found_among_other_notes() -> None:
    notes = note(1, b"Linux\0", b"abc") + note(3, b"LNX\0", b"no") + note(3, b"GNU\0", bytes(range(20)))
    assert build_id(notes) == bytes(range(20)).hex()
    assert build_id(note(3, b"GNU\0", b"\1\2", "<"), "little") == "0102"


@pytest.mark.parametrize("notes", [b"", b"short", note(1, b"GNU\0", b"x"), note(3, b"LNX\0", b"x")])
def test_no_build_id_is_no_error(notes: bytes) -> None:
    assert build_id(notes) == ""


def test_a_file_that_is_no_kernel_is_told_what_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(UsageError, match="is not an ELF file"):
        identify(text)
    with pytest.raises(UsageError, match=r"cannot read the kernel .*No such file"):
        identify(tmp_path / "none")
    with pytest.raises(UsageError, match="not 64-bit PowerPC"):
        identify(Path(sys.executable).resolve())


@pytest.mark.parametrize(
    ("banner", "found"),
    [
        (
            b"Linux version 6.1.176-stock (testbed@testbed) (powerpc64-linux-gnu-gcc (Debian 12.2.0-13) 12.2.0, "
            b"GNU ld (GNU Binutils for Debian) 2.40) #1 SMP",
            ("6.1.176-stock", "12.2.0"),
        ),
        (b"Linux version 6.12.1+ (me@here) (clang version 19.1.7, LLD 19) #2", ("6.12.1+", "")),
        (b"no kernel at all", None),
    ],
)
def test_the_banner_tells_release_and_compiler(banner: bytes, found: tuple[str, str] | None) -> None:
    assert read_banner(b"\0rubbish\0" + banner) == found


def test_a_kernel_is_for_the_machine_that_it_is_given_to(tmp_path: Path) -> None:
    # The smallest ELF file of a PC: a header, no section; then what only a kernel of Linux's has.
    kernel = tmp_path / "vmlinux"
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0)
    kernel.write_bytes(head + b"Linux version 6.1.0-50-amd64 (who@where) (gcc-12 (Debian) 12.2.0) #1 SMP\0")
    assert identify(kernel, "x86_64").release == "6.1.0-50-amd64"
    assert identify(kernel, "x86_64").architecture == "x86_64"
    with pytest.raises(UsageError, match="is for x64, not 64-bit PowerPC"):
        identify(kernel)
