"""Where in a dump of a domU's memory the byte of a kernel's address is."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.host import Host
from harness.verbs import StepFailed
from sim.elf import Order

# Headers, and the names of sections, are within so many bytes of a dump's beginning.
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


def xen_core(head: bytes) -> XenCore:
    """Read the headers of a dump of Xen's. Raises StepFailed when it is none of a paravirtualised domU on a PC."""
    try:
        core = ELFFile(io.BytesIO(head))
        kind = (core["e_type"], core["e_machine"])
        frames, pages = core.get_section_by_name(FRAMES), core.get_section_by_name(PAGES)
    except ELFError as error:
        raise StepFailed(f"the dump is no ELF file: {error}") from error
    if kind != ("ET_CORE", "EM_X86_64") or frames is None or pages is None:
        raise StepFailed(f"the dump is no core of a paravirtualised domU on a PC, but {kind}")
    return XenCore(frames["sh_offset"], frames["sh_size"] // PAIR, pages["sh_offset"])


async def find_in_xen_core(host: Host, path: str, address: int) -> int:
    """Return where in a dump of Xen's the byte of a kernel's address is. Raises StepFailed."""
    core = xen_core(await read_dump(host, path, 0, HEAD))
    frame, rest = divmod(address - START_KERNEL_MAP, PAGE)
    if not 0 <= frame < core.count:
        raise StepFailed(f"the dump has {core.count} frames, and none at {address:#x}")
    found, _ = struct.unpack("<QQ", await read_dump(host, path, core.frames + frame * PAIR, PAIR))
    if found != frame:
        raise StepFailed(f"frame {frame} of the dump is the domU's frame {found}")
    return core.pages + frame * PAGE + rest
