"""Which kernel is this? Asked of the file that was built and of the machine that booted."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from base.errors import UsageError
from base.yamlmodel import Model
from sim.elf import Order
from sim.platform import Architecture

NT_GNU_BUILD_ID = 3
_MACHINES: dict[str, Architecture] = {"EM_PPC64": "ppc64", "EM_X86_64": "x86_64"}
_NAMES: dict[Architecture, str] = {"ppc64": "64-bit PowerPC", "x86_64": "x86-64"}
# Linux version RELEASE (WHO@WHERE) (COMPILER (DISTRIBUTION) VERSION, LINKER ...) ...
_BANNER = re.compile(rb"Linux version (\S+) \([^)]*\) \((?:\S*gcc \([^)]*\) ([\d.]+))?")


class KernelIdentity(Model):
    """A kernel's release (`uname -r`), its GNU build id in hexadecimal digits and the version of the gcc that made it.

    The last two are "" where the file has none, or another compiler made it. `order` is that of the bytes in a word.
    """

    release: str
    build_id: str
    gcc: str = ""
    order: Order = "big"
    architecture: Architecture = "ppc64"


class BuildIdPlace(NamedTuple):
    """Where a GNU build id is while the program runs: physical address and size of its ELF note, in bytes."""

    address: int
    size: int


class _Elf(NamedTuple):
    build_id: str
    order: Order
    place: BuildIdPlace | None


def identify(path: Path, wanted: Architecture = "ppc64") -> KernelIdentity:
    """Read the identity of a kernel for an architecture from its ELF file (`vmlinux`).

    Raises UsageError when the file is missing, no ELF file, of another machine, or no Linux kernel.
    """
    hint = f"give the uncompressed `vmlinux` of a {_NAMES[wanted]} build"
    elf = _read_elf(path, "kernel", hint, wanted)
    banner = read_banner(path.read_bytes())
    if banner is None:
        raise UsageError(f"{path} is an ELF file, but no Linux kernel (it has no version banner)", hint=hint)
    return KernelIdentity(release=banner[0], build_id=elf.build_id, gcc=banner[1], order=elf.order, architecture=wanted)


def identify_hypervisor(path: Path, release: str) -> KernelIdentity:
    """Read the identity of a PowerPC 64-bit hypervisor that is a file of its own; its `release` is known otherwise.

    Raises UsageError when the file is missing, no ELF file, or of another machine.
    """
    elf = _read_elf(path, "hypervisor", "give the ELF file of a 64-bit PowerPC build")
    return KernelIdentity(release=release, build_id=elf.build_id, order=elf.order)


def find_build_id(path: Path) -> BuildIdPlace | None:
    """Return where a running hypervisor has its build id; None if it has none. Raises UsageError."""
    return _read_elf(path, "hypervisor", "give the ELF file of a 64-bit PowerPC build").place


def file_build_id(path: Path) -> str:
    """Return the build id in an ELF file for whatever machine, "" if it has none. Raises UsageError."""
    return _read_elf(path, "hypervisor", "give the ELF file that was built", None).build_id


def _read_elf(path: Path, what: str, hint: str, wanted: Architecture | None = "ppc64") -> _Elf:
    from elftools.common.exceptions import ELFError  # noqa: PLC0415  (lazy: `--help` stays quick)
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if wanted and _MACHINES.get(elf["e_machine"]) != wanted:
                raise UsageError(f"{path} is for {elf.get_machine_arch()}, not {_NAMES[wanted]}", hint=hint)
            order: Order = "little" if elf.little_endian else "big"
            notes = [section.data() for section in elf.iter_sections("SHT_NOTE")]
            loaded = [(segment["p_paddr"], segment.data()) for segment in elf.iter_segments("PT_NOTE")]
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}", hint="check the path") from error
    except ELFError as error:
        raise UsageError(f"{path} is not an ELF file: {error}", hint=hint) from error
    build_ids = [found for data in notes if (found := build_id(data, order))]
    places = [BuildIdPlace(address, len(data)) for address, data in loaded if build_id(data, order)]
    return _Elf(build_ids[0] if build_ids else "", order, places[0] if places else None)


def read_banner(data: bytes) -> tuple[str, str] | None:
    """Return release and gcc version ("" for another compiler) of the kernel in `data`; None if it is no Linux."""
    found = _BANNER.search(data)
    return (found[1].decode(), (found[2] or b"").decode()) if found else None


def build_id(notes: bytes, order: Order = "big") -> str:
    """Return the GNU build id in a block of ELF notes as hexadecimal digits, "" if there is none.

    `order` is that of the bytes in a word. A note is three words (length of name, of content, type), name and content,
    each padded to four bytes (ELF specification, Note Section).
    """
    offset = 0
    while offset + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III" if order == "little" else ">III", notes, offset)
        name_at = offset + 12
        content_at = name_at + (name_size + 3) // 4 * 4
        if kind == NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[content_at : content_at + size].hex()
        offset = content_at + (size + 3) // 4 * 4
    return ""
