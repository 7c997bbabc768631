"""What a platform starts: files that users bring are looked at before any machine is."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from base.errors import UsageError
from base.yamlmodel import Model, suggest
from sim.elf import KINDS, LOADABLE_KINDS, MACHINES, MAGIC, Elf, Order, Truncated, read_elf

MIB = 1 << 20
# First bytes of what is compressed, what it is called, and what unpacks it.
PACKED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\xfd7zXZ\x00", "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"\x5d\x00\x00", "lzma", "unlzma"),
    (b"\x02\x21\x4c\x18", "lz4", "unlz4"),
    (b"\x89LZO", "lzop", "lzop -d"),
)
# Other files that people take for a kernel.
_OTHERS = (
    (b"\x27\x05\x19\x56", "a U-Boot image"),
    (b"\xd0\x0d\xfe\xed", "a flattened device tree"),
    (b"MZ", "a bzImage or an EFI program"),
    (b"!<arch>", "an archive of object files"),
    (b"0707", "a cpio archive"),
)
_CPIO = (b"070701", b"070702")
_CPIO_HEADER, _CPIO_END = 110, b"TRAILER!!!\x00"
# So much of a file tells a text from a program.
_SAMPLE = 4096
# A Linux kernel's addresses begin with the region's bits, which no loader regards.
_REGION = (1 << 60) - 1


class ImageRules(Model):
    """What a platform takes as its kernel. Without `format: elf` other files than ELF are taken as they are.

    `class` is 32 or 64, `endian` the orders of bytes, `machine` the names (`sim.elf.MACHINES`) that it starts. An
    address is kept to its lowest `address_bits` and moved up by `at` (bytes) when QEMU loads the file.
    """

    format: Literal["elf", "any"] = "any"
    bits: Literal[32, 64] | None = Field(default=None, alias="class")
    endian: tuple[Order, ...] = ("big", "little")
    machine: tuple[str, ...] = ()
    at: Annotated[int, Field(ge=0)] = 0
    address_bits: Annotated[int, Field(gt=0, le=60)] = 60

    def place(self, address: int) -> int:
        """Return where in memory QEMU puts what the file has at an address."""
        return (address & ((1 << self.address_bits) - 1)) + self.at

    @field_validator("machine")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MACHINES.values():
                raise ValueError(f"no machine '{name}'{suggest(name, list(MACHINES.values()))}")
        return names


class FirmwareRules(Model):
    """What a platform takes as a firmware of the user's: at most `max-size` bytes, raw, or ELF (`elf`) by its rules."""

    max_size: Annotated[int, Field(gt=0)]
    elf: ImageRules | None = None


def check_kernel(path: Path, rules: ImageRules, platform: str, memory: int, what: str = "kernel") -> None:
    """Raise UsageError unless a platform with so much memory (MiB) can start this file as its `what`."""
    head, size = _open(path, what)
    if not head.startswith(MAGIC) and rules.format == "any":
        return
    if not head.startswith(MAGIC):
        raise _not_elf(path, head, platform)
    elf = _elf(path, size)
    _check_header(path, elf, rules, platform)
    _check_addresses(path, elf, rules, platform, memory * MIB)


def check_initrd(path: Path, platform: str, memory: int) -> None:
    """Raise UsageError unless Linux takes this file as an initramfs, and it has room in the memory (MiB)."""
    head, size = _open(path, "initramfs")
    if size >= memory * MIB:
        raise UsageError(
            f"{path}: {size // MIB} MiB of initramfs; {platform} has {memory} MiB of memory", hint="make it smaller"
        )
    if head.startswith(_CPIO):
        _check_cpio(path, size)
        return
    for magic, name, program in PACKED:
        if head.startswith(magic):
            _check_packed(path, name, program)
            return
    raise UsageError(
        f"{path}: {_look(head)}, not an initramfs", hint="give a cpio archive (`cpio -o -H newc`), as it is or packed"
    )


def check_firmware(path: Path, rules: FirmwareRules | None, platform: str) -> None:
    """Raise UsageError unless a platform can start this file as its firmware."""
    if rules is None:
        raise UsageError(f"{platform} takes no firmware of yours", hint="leave out --firmware, or name one of its own")
    head, size = _open(path, "firmware")
    for magic, name, program in PACKED:
        if head.startswith(magic) and name != "lzma":
            raise UsageError(f"{path}: {name}-compressed; {platform} starts none", hint=f"{program} it first")
    if _is_text(head):
        raise UsageError(f"{path}: a text file, not a firmware", hint="give the firmware's binary")
    if head.startswith(MAGIC):
        if rules.elf is None:
            raise UsageError(f"{path}: an ELF file; {platform} starts raw firmware", hint="give its raw binary (.bin)")
        _check_header(path, _elf(path, size), rules.elf, platform)
    elif size > rules.max_size:
        raise UsageError(
            f"{path}: {size} bytes; {platform} has room for {rules.max_size} bytes of firmware",
            hint="give the firmware's binary",
        )


def is_compressed(head: bytes) -> bool:
    """Return whether a file that begins so is compressed."""
    return any(head.startswith(magic) for magic, _, _ in PACKED)


def _open(path: Path, what: str) -> tuple[bytes, int]:
    """Return a file's beginning and size. Raises UsageError for what is no file with something in it."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path}: a directory, not {_a(what)}", hint=f"name the {what} inside it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path}: not a regular file", hint=f"copy the {what} to a file first")
        with path.open("rb") as stream:
            head, size = stream.read(_SAMPLE), os.fstat(stream.fileno()).st_size
    except OSError as error:
        hint = "check its permissions" if isinstance(error, PermissionError) else "check the path"
        # All of the cause is in the line.
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}", hint=hint) from None
    if not head:
        raise UsageError(f"{path}: an empty file, not {_a(what)}", hint="did its build or download end early?")
    return head, size


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _elf(path: Path, size: int) -> Elf:
    try:
        with path.open("rb") as stream:
            return read_elf(stream, size)
    except Truncated as error:
        raise UsageError(f"{path}: truncated: {error}", hint="copy or build it again") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="copy or build it again") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="check the path") from error


def _not_elf(path: Path, head: bytes, platform: str) -> UsageError:
    for magic, name, program in PACKED:
        if head.startswith(magic):
            return UsageError(f"{path}: {name}-compressed; {platform} starts ELF files", hint=f"{program} it first")
    return UsageError(
        f"{path}: {_look(head)}, not an ELF file", hint="give the uncompressed `vmlinux` of a 64-bit PowerPC build"
    )


def _look(head: bytes) -> str:
    """Return what a file seems to be."""
    if head.startswith(MAGIC):
        return "an ELF file"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    return "a text file" if _is_text(head) else "a file of no known kind"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        # The sample may end inside a character.
        text = head.decode() if len(head) < _SAMPLE else head[: _SAMPLE - 4].decode(errors="ignore")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def _check_header(path: Path, elf: Elf, rules: ImageRules, platform: str) -> None:
    if elf.kind not in LOADABLE_KINDS:
        kind = KINDS.get(elf.kind, f"an ELF file of type {elf.kind}")
        raise UsageError(f"{path}: {kind}; {platform} starts programs", hint="give the linked `vmlinux`")
    if rules.bits and elf.bits != rules.bits:
        raise UsageError(
            f"{path}: {elf.bits}-bit ELF; {platform} starts {rules.bits}-bit images",
            hint=f"build it for {rules.bits} bits, or choose another platform with -p",
        )
    if rules.machine and elf.machine_name not in rules.machine:
        raise UsageError(
            f"{path}: an ELF file for {elf.machine_name}; {platform} starts those for {_or(rules.machine)}",
            hint="build it with a cross compiler (ARCH=powerpc), or choose another platform with -p",
        )
    if elf.order not in rules.endian:
        raise UsageError(
            f"{path}: {elf.order}-endian ELF; {platform} starts {_or(rules.endian)}-endian images",
            hint=f"build it {_or(rules.endian)}-endian, or choose another platform with -p",
        )


def _check_addresses(path: Path, elf: Elf, rules: ImageRules, platform: str, memory: int) -> None:
    """Raise UsageError unless all that is loaded, and where it is entered, is in the machine's memory."""
    if not any(segment.in_memory for segment in elf.segments):
        raise UsageError(f"{path}: nothing in it is to be loaded", hint="give the linked `vmlinux`")
    for segment in elf.segments:
        address = segment.physical & _REGION
        if address >> rules.address_bits or address + rules.at + segment.in_memory > memory:
            raise UsageError(
                f"{path}: loaded at {segment.physical:#x} ({segment.in_memory:#x} bytes), outside of the memory of "
                f"{platform} ({_room(rules, memory):#x} bytes for it)",
                hint="link it to a lower address",
            )
    if not any(segment.holds(elf.entry) for segment in elf.segments):
        raise UsageError(
            f"{path}: entered at {elf.entry:#x}, where nothing of it is loaded", hint="see ENTRY in its linker script"
        )


def _room(rules: ImageRules, memory: int) -> int:
    return min(1 << rules.address_bits, memory - rules.at)


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)


def _check_cpio(path: Path, size: int) -> None:
    """Raise UsageError unless a cpio archive goes on to its trailer (cpio(5), new ASCII format)."""
    again = "copy or build it again"
    with path.open("rb") as stream:
        at = 0
        while at + _CPIO_HEADER <= size:
            stream.seek(at)
            header = stream.read(_CPIO_HEADER)
            if not header.startswith(_CPIO):
                raise UsageError(f"{path}: no cpio header at byte {at}", hint=again)
            try:
                content, name_size = int(header[54:62], 16), int(header[94:102], 16)
            except ValueError as error:
                raise UsageError(f"{path}: a damaged cpio header at byte {at}", hint=again) from error
            if stream.read(min(name_size, len(_CPIO_END))) == _CPIO_END:
                return
            at = _four(_four(at + _CPIO_HEADER + name_size) + content)
    raise UsageError(f"{path}: truncated: a cpio archive without its end", hint=again)


def _four(number: int) -> int:
    return (number + 3) // 4 * 4


def _check_packed(path: Path, name: str, program: str) -> None:
    """Raise UsageError unless what is packed begins as a cpio archive; of what we cannot unpack nothing is said."""
    import bz2  # noqa: PLC0415  (lazy: `list` and `--help` stay quick)
    import lzma  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    with path.open("rb") as stream:
        data = stream.read(MIB)
    try:
        match name:
            case "gzip":
                inside = zlib.decompressobj(wbits=31).decompress(data, _SAMPLE)
            case "xz" | "lzma":
                inside = lzma.LZMADecompressor().decompress(data, _SAMPLE)
            case "bzip2":
                inside = bz2.BZ2Decompressor().decompress(data, _SAMPLE)
            case _:
                return
    except (zlib.error, lzma.LZMAError, OSError) as error:
        raise UsageError(f"{path}: damaged {name} data: {error}", hint="pack it again") from error
    # bzip2 gives nothing before a whole block of it (up to 900 kB packed) is there.
    if inside and not inside.startswith(_CPIO):
        raise UsageError(
            f"{path}: {_look(inside)} inside {name}, not an initramfs",
            hint=f"{program} it, and look: an initramfs is a cpio archive (`cpio -o -H newc`)",
        )
