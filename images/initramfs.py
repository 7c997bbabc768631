"""Packs an initramfs as a recipe lists it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path, PurePath

from images.closure import Modules, Root, modinfo, module_name
from images.errors import BuildError
from images.newc import Newc
from images.recipe import (
    DirectoryEntry,
    FileEntry,
    FolderEntry,
    Initramfs,
    LinksEntry,
    ModulesEntry,
    NodeEntry,
    ProgramsEntry,
    SymlinkEntry,
)

Find = Callable[[str], Path]


def pack(spec: Initramfs, source: Find, folder: Find) -> bytes:
    """Return the archive; `source` and `folder` find what `<input>:<path>` names. Raises BuildError."""
    archive = Newc()
    for entry in spec.entries:
        match entry:
            case DirectoryEntry():
                archive.directory(entry.directory, int(entry.mode, 8))
            case FileEntry():
                archive.file(entry.file, source(entry.source).read_bytes(), int(entry.mode, 8))
            case SymlinkEntry():
                archive.symlink(entry.symlink, entry.to)
            case NodeEntry():
                archive.device(entry.node, entry.type, entry.major, entry.minor, int(entry.mode, 8))
            case LinksEntry():
                _links(archive, source(entry.links).read_text().split(), entry.to)
            case ProgramsEntry():
                _programs(archive, Root(folder(entry.source)), entry.programs)
            case ModulesEntry():
                _modules(archive, Modules(folder(entry.source)), entry.modules, source(entry.release).read_text())
            case FolderEntry():
                _folder(archive, folder(entry.source), entry.folder, entry.drop)
    return archive.to_bytes()


def _links(archive: Newc, paths: list[str], to: str) -> None:
    for path in paths:
        # A file of its own wins over the link that busybox offers for the same name.
        if path not in archive:
            archive.symlink(path, to)


def _programs(archive: Newc, root: Root, paths: list[str]) -> None:
    for path, file in sorted(root.programs(paths).items()):
        if path not in archive:
            archive.file(path, file.read_bytes(), 0o755)


def _folder(archive: Newc, folder: Path, to: str, drop: list[str]) -> None:
    dropped = [folder / name for name in drop]
    for missing in (path for path in dropped if not path.exists()):
        raise BuildError(f"{to}: there is no {missing.name} to drop")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not any(file.is_relative_to(path) for path in dropped):
            mode = 0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644
            archive.file(f"{to}/{file.relative_to(folder)}", file.read_bytes(), mode)


def _modules(archive: Newc, modules: Modules, names: list[str], release: str) -> None:
    """Add modules, and what modprobe reads: what each needs, and by which other names it is asked for (modprobe(8))."""
    folder = f"/lib/modules/{release.strip()}"
    found = modules.closure(names)
    for path, (content, _) in sorted(found.items()):
        archive.file(f"{folder}/kernel/{path}", content)
    # Each line has all that must be loaded before, the first last: modprobe does not look into the others' lines.
    lines = [f"kernel/{path}: {' '.join(f'kernel/{n}' for n in _before(path, found))}\n" for path in sorted(found)]
    archive.file(f"{folder}/modules.dep", "".join(lines).encode())
    aliases = [
        f"alias {alias} {module_name(PurePath(path))}\n"
        for path, (content, _) in sorted(found.items())
        for alias in modinfo(content, "alias")
    ]
    archive.file(f"{folder}/modules.alias", "".join(aliases).encode())


def _before(path: str, found: dict[str, tuple[bytes, tuple[str, ...]]]) -> list[str]:
    """Return what a module needs, each after all that need it."""
    needs: list[str] = []
    for need in found[path][1]:
        needs += [need, *_before(need, found)]
    return list(dict.fromkeys(reversed(needs)))[::-1]
