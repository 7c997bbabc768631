"""Where in a dump of a domU's memory the byte of a kernel's address is."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from harness.host import Host
from harness.verbs import StepFailed
from sim.elf import Order

# Headers are within so many bytes of a dump's beginning.
HEAD = 4096
# A PowerPC kernel's linear mapping (0xc...) without its first digit is the physical address; that of a PC's kernel
# begins here (arch/x86/include/asm/page_64_types.h, __START_KERNEL_map).
PHYSICAL = 0x0FFF_FFFF_FFFF_FFFF
START_KERNEL_MAP = 0xFFFF_FFFF_8000_0000
PAGE = 4096
# Xen's core dumps have a list of frames, pairs of a domain's and a machine's frame number, and the frames in its order
# (docs/misc/dump-core-format.txt).
FRAMES, PAGES, PAIR = ".xen_p2m", ".xen_pages", 16


@dataclass(frozen=True)
class XenCore:
    """Where a dump of Xen's has its list of frames, how many these are, and where they are."""

    frames: int
    count: int
    pages: int


async def read_dump(host: Host, path: str, offset: int, length: int) -> bytes:
    """Return a part of a file in dom0. Raises StepFailed."""
    script = f"dd if={path} bs=1 skip={offset} count={length} 2>/dev/null | base64"
    answer = await host.machine.command.run(script)
    if answer.status != 0:
        raise StepFailed(f"{host.name} cannot read {path}: {answer.output.strip()}")
    return base64.b64decode(answer.output)


def core_offset(head: bytes, address: int, order: Order = "big") -> int:
    """Return where in a core file the byte of a physical address is, by the file's `head`.

    Raises StepFailed when that is no core of a 64-bit PowerPC with that order of bytes, or has no such memory.
    """
    try:
        core = ELFFile(io.BytesIO(head))
        kind = (core["e_type"], core["e_machine"], core.elfclass, "little" if core.little_endian else "big")
        parts = [segment.header for segment in core.iter_segments(type="PT_LOAD")]
    except ELFError as error:
        raise StepFailed(f"the dump is no ELF file: {error}") from error
    if kind != ("ET_CORE", "EM_PPC64", 64, order):
        raise StepFailed(f"the dump is no core of a 64-bit {order}-endian PowerPC, but {kind}")
    for part in parts:
        if part.p_paddr <= address < part.p_paddr + part.p_filesz:
            return int(part.p_offset + address - part.p_paddr)
    raise StepFailed(f"the dump has no memory at {address:#x}")


def section_names(head: bytes) -> tuple[int, int]:
    """Return where a dump of Xen's has the names of its sections, and their size: behind all else.

    Raises StepFailed when it is no dump of a paravirtualised domU on a PC.
    """
    names = _sections(head)[1]
    return names["sh_offset"], names["sh_size"]


def xen_core(head: bytes, names: bytes) -> XenCore:
    """Read the headers of a dump of Xen's, and the names of its sections. Raises StepFailed when it is none."""
    headers = {
        names[header["sh_name"] :].partition(b"\0")[0].decode(errors="replace"): header for header in _sections(head)[0]
    }
    if FRAMES not in headers or PAGES not in headers:
        raise StepFailed(f"the dump is no core of a paravirtualised domU on a PC: it has {', '.join(sorted(headers))}")
    frames, pages = headers[FRAMES], headers[PAGES]
    return XenCore(frames["sh_offset"], frames["sh_size"] // PAIR, pages["sh_offset"])


def _sections(head: bytes) -> tuple[list[Mapping[str, int]], Mapping[str, int]]:
    """Return the headers of all sections of a dump of Xen's, and of that with their names."""
    try:
        core = ELFFile(io.BytesIO(head))
        kind = (core["e_type"], core["e_machine"])
        if kind != ("ET_CORE", "EM_X86_64"):
            raise StepFailed(f"the dump is no core of a paravirtualised domU on a PC, but {kind}")
        begin, size = core["e_shoff"], core["e_shentsize"]
        places = range(begin, begin + core["e_shnum"] * size, size)
        headers = [core.structs.Elf_Shdr.parse(head[place : place + size]) for place in places]
        return headers, headers[core["e_shstrndx"]]
    except (ELFError, ConstructError, IndexError) as error:
        raise StepFailed(f"the dump is no ELF file: {error}") from error


async def find_in_xen_core(host: Host, path: str, address: int) -> int:
    """Return where in a dump of Xen's the byte of a kernel's address is. Raises StepFailed."""
    head = await read_dump(host, path, 0, HEAD)
    core = xen_core(head, await read_dump(host, path, *section_names(head)))
    frame, rest = divmod(address - START_KERNEL_MAP, PAGE)
    if not 0 <= frame < core.count:
        raise StepFailed(f"the dump has {core.count} frames, and none at {address:#x}")
    found, _ = struct.unpack("<QQ", await read_dump(host, path, core.frames + frame * PAIR, PAIR))
    if found != frame:
        raise StepFailed(f"frame {frame} of the dump is the domU's frame {found}")
    return core.pages + frame * PAGE + rest
