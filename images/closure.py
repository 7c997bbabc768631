"""What a program or a kernel module needs beside itself, found in unpacked packages."""

from __future__ import annotations

import lzma
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from images.errors import BuildError

# Symbolic links on the way to a file, beyond which it is a circle (as ELOOP).
_LINKS = 40


class Root:
    """A folder of unpacked packages, its files named as in the system that they are for (`/usr/bin/true`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, path: str) -> Path | None:
        """Return where the file `path` really is, links followed within the root; None if there is none."""
        parts, done = path.strip("/").split("/"), ""
        for _ in range(_LINKS):
            for number, part in enumerate(parts):
                place = self._folder / done.strip("/") / part
                if place.is_symlink():
                    target = posixpath.join(done or "/", str(place.readlink()))
                    parts, done = [*posixpath.normpath(target).strip("/").split("/"), *parts[number + 1 :]], ""
                    break
                done = f"{done}/{part}"
            else:
                found = self._folder / done.strip("/")
                return found if found.exists() else None
        return None

    def programs(self, paths: Iterable[str]) -> dict[str, Path]:
        """Return programs and libraries with their interpreters and all libraries they need, by path.

        Raises BuildError for a file that is no ELF file, and for a library that is not there.
        """
        found: dict[str, Path] = {}
        waiting = list(paths)
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            place = self.find(path)
            if place is None:
                raise BuildError(f"the unpacked packages have no {path}", where=str(self._folder))
            found[path] = place
            waiting += self._needs(path, place)
        return found

    def _needs(self, path: str, place: Path) -> Iterator[str]:
        try:
            with place.open("rb") as stream:
                elf = ELFFile(stream)
                machine = "powerpc64le-linux-gnu" if elf.get_machine_arch() == "64-bit PowerPC" else "x86_64-linux-gnu"
                for segment in elf.iter_segments():
                    if isinstance(segment, InterpSegment):
                        yield segment.get_interp_name()
                dynamic = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
                tags: list[Any] = [tag for section in dynamic for tag in section.iter_tags()]
        except ELFError as error:
            raise BuildError(f"{path} is no program: {error}", where=str(place)) from error
        own = [
            folder.replace("$ORIGIN", posixpath.dirname(path))
            for tag in tags
            if tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH")
            for folder in (tag.runpath if tag.entry.d_tag == "DT_RUNPATH" else tag.rpath).split(":")
        ]
        folders = [*own, f"/lib/{machine}", f"/usr/lib/{machine}", "/lib", "/usr/lib"]
        for tag in tags:
            if tag.entry.d_tag == "DT_NEEDED":
                yield self._library(tag.needed, folders, path)

    def _library(self, name: str, folders: list[str], needed_by: str) -> str:
        for folder in folders:
            path = posixpath.join(folder, name)
            if self.find(path) is not None:
                return posixpath.normpath(path)
        raise BuildError(f"{needed_by} needs {name}, and no package has it", where=str(self._folder))


class Modules:
    """A kernel's modules below a folder: files `*.ko` and `*.ko.xz`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {module_name(path): path for path in sorted(folder.rglob("*.ko*"))}

    def closure(self, names: Iterable[str]) -> dict[str, tuple[bytes, tuple[str, ...]]]:
        """Return modules with all they depend on: path below the folder (without `.xz`) -> content, paths it needs.

        Raises BuildError for a module that is not there.
        """
        found: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        waiting = [name.replace("-", "_") for name in names]
        while waiting:
            name = waiting.pop()
            path = self._path(name)
            if path in found:
                continue
            data = self._files[name].read_bytes()
            content = lzma.decompress(data) if self._files[name].suffix == ".xz" else data
            needs = _depends(content)
            found[path] = content, tuple(self._path(need) for need in needs)
            waiting += needs
        return found

    def _path(self, name: str) -> str:
        if name not in self._files:
            raise BuildError(f"the kernel has no module '{name}'", where=str(self._folder))
        return str(self._files[name].relative_to(self._folder)).removesuffix(".xz")


def module_name(path: PurePath) -> str:
    """Return the name by which the kernel knows a module's file."""
    return path.name.partition(".ko")[0].replace("-", "_")


def _depends(module: bytes) -> list[str]:
    """Return the modules that one names in its `.modinfo` (`depends=a,b`)."""
    return [name.replace("-", "_") for text in modinfo(module, "depends") for name in text.split(",") if name]


def modinfo(module: bytes, key: str) -> list[str]:
    """Return what a module's `.modinfo` has by a key; it is strings `key=value`, each with a NUL at its end."""
    return [value.decode() for value in re.findall(rb"(?:^|\0)%s=([ -~]*)(?=\0)" % key.encode(), module)]
