"""The cache on disk: artifacts that are whole or absent, with a manifest that says what is in them and why."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from base.files import atomic_write, sha256_bytes, sha256_file
from base.paths import cache_root
from images.errors import ArtifactError

MANIFEST = "manifest.json"
SCHEMA = 1
SHORT = 12
_OURS = ".of-"


@dataclass(frozen=True)
class Origin:
    """One input of an artifact. `kind`: package, source, image, file or patch; `suite` only for Debian's."""

    kind: str
    name: str
    version: str
    sha256: str
    suite: str = ""


@dataclass(frozen=True)
class Provenance:
    """Where an artifact comes from. `tools` maps a program to its version; `seconds` is how long it took."""

    recipe: str
    recipe_digest: str
    inputs: tuple[Origin, ...]
    tools: dict[str, str]
    built_at: str
    seconds: float
    content: str
    host: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A built image: `digest` (64 hexadecimal digits) names everything that made it, `path` is its folder."""

    name: str
    digest: str
    path: Path

    def file(self, relative: str) -> Path:
        """Return the path of a file in it. Raises ArtifactError when there is none."""
        path = self.path / relative
        if not path.exists():
            found = ", ".join(sorted(item.name for item in self.path.iterdir())[:12])
            raise ArtifactError(f"image '{self.name}' has no file '{relative}'; it has {found}", where=str(self.path))
        return path

    @functools.cached_property
    def provenance(self) -> Provenance:
        """Return the record of its origin. Raises ArtifactError when the manifest cannot be read."""
        data = read_manifest(self.path)["provenance"]
        return Provenance(**{**data, "inputs": tuple(Origin(**item) for item in data["inputs"])})


class Store:
    """The folders of the cache. All of them are made on first use."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def folder(self, name: str) -> Path:
        """Return one of the cache's folders, made if need be. Raises ArtifactError when that is impossible."""
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"cannot make {path}: {error.strerror}", hint="TESTBED_CACHE names another folder for the cache"
            ) from error
        return path

    def lock(self, name: str) -> FileLock:
        """Return the lock between processes for a name (an image, an apt root)."""
        return FileLock(self.folder("locks") / f"{name}.lock", thread_local=False)

    def path(self, name: str, digest: str) -> Path:
        """Return where an artifact is, or would be."""
        return self.root / "artifacts" / f"{name}-{digest[:SHORT]}"

    def find(self, name: str, digest: str) -> Artifact | None:
        """Return an artifact that is whole as far as names and sizes tell, or None."""
        path = self.path(name, digest)
        if not path.is_dir():
            return None
        try:
            manifest = read_manifest(path)
        except ArtifactError:
            return None
        if manifest["digest"] != digest or next(_quick_faults(path, manifest), None):
            return None
        return Artifact(name, digest, path)

    def use(self, artifact: Artifact) -> None:
        """Remember that an artifact was used now, so that `gc` keeps it."""
        with contextlib.suppress(OSError):
            os.utime(artifact.path / MANIFEST)

    def publish(self, name: str, digest: str, made: Path, provenance: dict[str, Any]) -> Artifact:
        """Turn the folder `made` (on the cache's file system) into an artifact by one rename. Raises OSError."""
        files = describe(made)
        record = {**provenance, "content": content_digest(files)}
        manifest = {"schema": SCHEMA, "name": name, "digest": digest, "provenance": record, "files": files}
        manifest["seal"] = _seal(manifest)
        _sync(made)
        atomic_write(made / MANIFEST, json.dumps(manifest, separators=(",", ":")))
        target = self.path(name, digest)
        self.folder("artifacts")
        self.discard(target)
        made.rename(target)
        _sync_folder(target.parent)
        return Artifact(name, digest, target)

    def discard(self, path: Path) -> None:
        """Remove a folder of the cache: renamed first, so that a half-removed one is never taken for whole."""
        if not path.exists():
            return
        doomed = self.temporary()
        path.rename(doomed / path.name)
        remove_tree(doomed)

    def temporary(self) -> Path:
        """Return a new folder for this process alone, on the cache's file system. Raises OSError."""
        return Path(tempfile.mkdtemp(dir=self.folder("build"), prefix=f"{_OURS}{os.getpid()}-"))

    def sweep(self) -> list[Path]:
        """Remove what interrupted runs left in the build folder, nothing of runs that live; return what went."""
        gone = []
        for path in sorted(self.folder("build").iterdir()):
            if path.name.startswith(_OURS):
                pid = path.name.removeprefix(_OURS).partition("-")[0]
                if not Path(f"/proc/{pid}").exists():
                    remove_tree(path)
                    gone.append(path)
                continue
            lock = self.lock(path.name)
            with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                remove_tree(path)
                gone.append(path)
        return gone

    def artifacts(self) -> Iterator[tuple[Path, dict[str, Any] | None]]:
        """Yield every artifact's folder and its manifest (None: it cannot be read)."""
        for path in sorted((self.root / "artifacts").glob("*")):
            try:
                yield path, read_manifest(path)
            except ArtifactError:
                yield path, None


def read_manifest(path: Path) -> dict[str, Any]:
    """Return an artifact's manifest. Raises ArtifactError when it is absent or no manifest."""
    try:
        data: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
        if data["schema"] != SCHEMA:
            raise ArtifactError(f"the manifest has schema {data['schema']}, ours is {SCHEMA}", where=str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"no readable manifest: {error}", where=str(path)) from error
    return data


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is in a folder: relative path -> mode, and size and SHA-256, or target for a link."""
    found: dict[str, dict[str, Any]] = {}
    for path in _walk(folder):
        status = path.lstat()
        entry: dict[str, Any] = {"mode": f"{stat.S_IMODE(status.st_mode):o}"}
        if stat.S_ISLNK(status.st_mode):
            entry = {"target": str(path.readlink())}
        elif stat.S_ISDIR(status.st_mode):
            entry["folder"] = True
        else:
            entry |= {"size": status.st_size, "sha256": sha256_file(path)}
        found[str(path.relative_to(folder))] = entry
    return found


def content_digest(files: dict[str, dict[str, Any]]) -> str:
    """Return one digest of what `describe` found: equal for two builds that gave the same bytes."""
    return sha256_bytes(json.dumps(files, sort_keys=True).encode())


def faults(path: Path) -> list[str]:
    """Compare an artifact with its manifest, byte by byte, and return what differs, one phrase each."""
    try:
        manifest = read_manifest(path)
    except ArtifactError as error:
        return [error.message]
    expected: dict[str, dict[str, Any]] = manifest["files"]
    actual = describe(path)
    actual.pop(MANIFEST, None)
    found = [f"{name}: missing" for name in expected if name not in actual]
    found += [f"{name}: not in the manifest" for name in actual if name not in expected]
    for name, entry in expected.items():
        if name in actual and actual[name] != entry:
            keys = [key for key in {**entry, **actual[name]} if entry.get(key) != actual[name].get(key)]
            found.append(f"{name}: not the {' and '.join(sorted(keys))} that was built")
    if manifest.pop("seal", "") != _seal(manifest):
        found.append(f"{MANIFEST}: changed since it was written")
    return found


def _seal(manifest: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(manifest, sort_keys=True).encode())


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, also where a build made folders read-only."""

    def again(function: Any, name: str, _error: Any) -> None:
        Path(name).parent.chmod(0o700)
        function(name)

    shutil.rmtree(path, onerror=again)


def new_record(recipe: str, recipe_digest: str, inputs: list[Origin], tools: dict[str, str]) -> dict[str, Any]:
    """Return the part of a provenance that is known before the build."""
    system = os.uname()
    return {
        "recipe": recipe,
        "recipe_digest": recipe_digest,
        "inputs": [asdict(item) for item in inputs],
        "tools": tools,
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": 0.0,
        "content": "",
        "host": {"system": f"{system.sysname} {system.release}", "machine": system.machine},
    }


def _quick_faults(path: Path, manifest: dict[str, Any]) -> Iterator[str]:
    for name, entry in manifest["files"].items():
        if "sha256" in entry:
            try:
                if os.stat(f"{path}/{name}").st_size != entry["size"]:  # noqa: PTH116  (thousands of them, in 0.1 s)
                    yield name
            except OSError:
                yield name


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _sync(folder: Path) -> None:
    # One syncfs would flush the whole host; only what was made here has to be on the disk before the rename.
    for path in _walk(folder):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
