"""Downloaded files -> folders of source, patched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from images.errors import BuildError, PatchError, tail
from images.process import Processes


class Unpacker:
    """Unpacks and patches for one build; what the programs say goes to its log."""

    def __init__(self, name: str, processes: Processes, log: Path) -> None:
        self._name = name
        self._processes = processes
        self._log = log

    def packages(self, files: Iterable[Path], folder: Path) -> None:
        """Unpack Debian packages, one over the other, into `folder`. Raises BuildError."""
        folder.mkdir(parents=True, exist_ok=True)
        loop = 'for file; do dpkg-deb -x "$file" . || exit; done'
        self._run(["bash", "-c", loop, "dpkg-deb", *map(str, files)], folder)

    def archive(self, file: Path, folder: Path) -> None:
        """Unpack a source archive into `folder`, without its top folder. Raises BuildError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._run(["tar", "-xf", str(file), "--strip-components=1", "--no-same-owner", "-C", str(folder)], folder)

    def patched_source(self, upstream: Path, debian: Path, folder: Path) -> None:
        """Unpack a source as Debian builds it: with Debian's archive in its folder `debian`, and that one's patches.

        Raises BuildError, PatchError.
        """
        self.archive(upstream, folder)
        self.archive(debian, folder / "debian")
        patches = folder / "debian" / "patches"
        series = patches / "series"
        names = series.read_text().splitlines() if series.is_file() else []
        for line in names:
            # A comment may stand behind a name as well as alone.
            if name := line.partition("#")[0].strip():
                self.patch(patches / name, folder)

    def patch(self, patch: Path, folder: Path) -> None:
        """Apply a patch file, exactly: a context that does not match is an error. Raises PatchError."""
        start = self._log.stat().st_size if self._log.exists() else 0
        command = ["patch", "-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-i", str(patch)]
        if self._processes.run(command, log=self._log, cwd=folder):
            with self._log.open("rb") as stream:
                stream.seek(start)
                said = stream.read().decode(errors="replace").strip()
            rejected = "".join(
                f"\n{path.read_text(errors='replace').rstrip()}" for path in sorted(folder.rglob("*.rej"))
            )
            raise PatchError(
                f"image '{self._name}': {patch.name} does not apply:\n{said}{rejected}",
                hint="rebase the patch on the version that the provenance names, or pin the older one in lock.json",
                where=str(patch),
            )

    def _run(self, command: list[str], folder: Path) -> None:
        if code := self._processes.run(command, log=self._log, cwd=folder):
            raise BuildError(
                f"image '{self._name}': cannot unpack ({command[0]}, exit code {code}):\n{tail(self._log)}",
                hint="is the disk full?",
                where=str(self._log),
            )
