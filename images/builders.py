"""The ways to make an artifact once its inputs lie unpacked: shell, tree, initramfs, rewrite-sc1, files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from images.errors import BuildError, tail
from images.initramfs import pack
from images.process import Processes
from images.recipe import Recipe
from images.sc1 import rewrite_sc1

# A fixed moment (2024-01-01, in seconds) for everything that would otherwise write the time into its result.
EPOCH = "1704067200"
CCACHE_SIZE = "2G"


@dataclass(frozen=True)
class Workplace:
    """Where one build happens: `inputs` maps a handle to a file or a folder, `out` becomes the artifact."""

    recipe: Recipe
    folder: Path
    out: Path
    inputs: Mapping[str, Path]
    log: Path
    jobs: int
    ccache: Path

    def source(self, reference: str) -> Path:
        """Return the file that `<input>:<path>` names. Raises BuildError when it is not there."""
        path = self._named(reference)
        if not path.is_file():
            raise BuildError(f"image '{self.recipe.name}': {reference} is not a file", where=str(path))
        return path

    def source_folder(self, reference: str) -> Path:
        """Return the folder that `<input>` or `<input>:<path>` names. Raises BuildError when it is not there."""
        path = self._named(reference)
        if not path.is_dir():
            raise BuildError(f"image '{self.recipe.name}': {reference} is not a folder", where=str(path))
        return path

    def _named(self, reference: str) -> Path:
        handle, _, inner = reference.partition(":")
        return self.inputs[handle] / inner if inner else self.inputs[handle]


def build(place: Workplace, processes: Processes) -> None:
    """Make the content of `place.out`. Raises BuildError, Cancelled."""
    way = place.recipe.build
    if way.shell is not None:
        _shell(place, processes, way.shell)
    elif way.tree is not None:
        _tree(place, way.tree.drop)
    elif way.initramfs is not None:
        (place.out / way.initramfs.file).write_bytes(pack(way.initramfs, place.source, place.source_folder))
    elif way.rewrite_sc1 is not None:
        _rewrite(place)
    for name, reference in (way.files or {}).items():
        shutil.copyfile(place.source(reference), place.out / name)
    if not any(place.out.iterdir()):
        raise BuildError(
            f"image '{place.recipe.name}': the build left nothing in its output folder",
            hint="a shell build writes to $OUT",
            where=str(place.log),
        )


def shell_environment(place: Workplace) -> dict[str, str]:
    """Return the whole environment of a shell build; docs/images.md describes each variable."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place.folder),
        "TMPDIR": str(place.folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": EPOCH,
        "NAME": place.recipe.name,
        "WORK": str(place.folder),
        "OUT": str(place.out),
        "JOBS": str(place.jobs),
        "PYTHON": sys.executable,
        "CCACHE_DIR": str(place.ccache),
        "CCACHE_NOHASHDIR": "1",
        # Trust the compiler's own list of headers: a miss then costs no second preprocessor run (a fifth less).
        "CCACHE_DEPEND": "1",
        "CCACHE_MAXSIZE": CCACHE_SIZE,
        **{key.upper(): value for key, value in place.recipe.variables.items()},
        **{f"SRC_{handle.upper()}": str(path) for handle, path in place.inputs.items()},
    }


def _shell(place: Workplace, processes: Processes, text: str) -> None:
    script = place.folder / "build.sh"
    script.write_text(text)
    command = ["bash", "-e", "-u", "-o", "pipefail", str(script)]
    code = processes.run(command, log=place.log, cwd=place.folder, env=shell_environment(place))
    if code:
        raise BuildError(
            f"image '{place.recipe.name}': its build failed with exit code {code}; the log ends with\n"
            f"{tail(place.log)}",
            hint=f"the whole log: {place.log}",
            where=str(place.log),
        )


def _tree(place: Workplace, drop: list[str]) -> None:
    (source,) = place.inputs.values()
    place.out.rmdir()
    source.rename(place.out)
    for name in drop:
        shutil.rmtree(place.out / name, ignore_errors=True)


def _rewrite(place: Workplace) -> None:
    spec = place.recipe.build.rewrite_sc1
    if spec is None:
        return
    source = place.source(spec.source)
    data, count = rewrite_sc1(source.read_bytes())
    if count != spec.count:
        raise BuildError(
            f"image '{place.recipe.name}': {spec.source} has {count} `sc 1`, the recipe expects {spec.count}",
            hint="look at each site (objdump -d), then correct `count`: a wrong one breaks the guest silently",
            where=str(source),
        )
    (place.out / spec.to).write_bytes(data)
    if spec.keep:
        shutil.copyfile(source, place.out / spec.keep)
