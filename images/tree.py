"""Programs out of an unpacked Debian tree, started beside the host's own."""

from __future__ import annotations

from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from images.errors import ArtifactError
from images.store import Artifact

# Before Debian 13 the loader and libc are below /lib, and /lib64 holds an absolute link that leads to the host's.
_ROOTS = ("usr/lib", "lib")


def tree_command(artifact: Artifact, program: str) -> list[str]:
    """Return the command that starts `program` ("usr/bin/..."), by the tree's own loader and libraries if it needs any.

    Raises ArtifactError when the tree lacks the program or a loader.
    """
    binary = artifact.file(program)
    folders = [
        folder
        for root in _ROOTS
        for triplet in sorted((artifact.path / root).glob("*-linux-gnu*"))
        for folder in (triplet, triplet / "pulseaudio")
        if folder.is_dir()
    ]
    loader = next((path for folder in folders for path in _loaders(folder)), None)
    if loader is None and _is_static(binary):
        return [str(binary)]
    if loader is None:
        raise ArtifactError(f"image '{artifact.name}' has no dynamic loader", where=str(artifact.path))
    return [str(loader), "--library-path", ":".join(str(folder) for folder in folders), str(binary)]


def _is_static(program: Path) -> bool:
    try:
        with program.open("rb") as stream:
            return not any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(stream).iter_segments())
    except ELFError:
        return False


def _loaders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("ld-linux*.so.*")) if path.is_file() and not path.is_symlink()]
