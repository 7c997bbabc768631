"""From names to digests: what has to be built, and whether the cache has it already."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from base.files import sha256_bytes, sha256_file
from base.progress import Event, Report
from images import lock as locks
from images.apt import Archive
from images.catalogue import Catalogue
from images.lock import Lock, Pins
from images.recipe import Arch, DebianInput, FileInput, FolderInput, ImageInput, PatchedSourceInput, Recipe, SourceInput
from images.store import Artifact, Origin, Store
from images.tools import Tools

# Part of every digest: raise it when the builders themselves change what they make.
BUILDER_VERSION = 1


class Plan:
    """Digests of a catalogue's artifacts under one lock. All of it works offline, save `resolve`."""

    def __init__(self, catalogue: Catalogue, store: Store, lock: Lock, tools: Tools) -> None:
        self.catalogue = catalogue
        self.store = store
        self.lock = lock
        self.tools = tools
        self._digests: dict[str, str | None] = {}
        self._versions: dict[str, str] = {}
        self._files: dict[Path, str] = {}

    def digest(self, name: str) -> str | None:
        """Return an artifact's digest; None while an input of it has never been resolved.

        Raises UsageError for an unknown name.
        """
        if name not in self._digests:
            recipe = self.catalogue.recipe(name)
            origins = self.origins(recipe)
            self._digests[name] = None if origins is None else self._compute(recipe, origins)
        return self._digests[name]

    def find(self, name: str) -> Artifact | None:
        """Return an artifact if the cache has it. Raises UsageError for an unknown name."""
        digest = self.digest(name)
        return self.store.find(name, digest) if digest else None

    def missing(self, names: Iterable[str]) -> tuple[dict[str, Artifact], list[str]]:
        """Return what the cache has of `names`, and what has to be built for the rest, in order of building.

        An input of an artifact that is there already is not asked for.
        """
        found: dict[str, Artifact] = {}
        absent: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found or name in absent:
                continue
            if artifact := self.find(name):
                found[name] = artifact
            else:
                absent.add(name)
                waiting += self.catalogue.needs(name)
        return found, [name for name in self.catalogue.names if name in absent]

    def origins(self, recipe: Recipe) -> list[Origin] | None:
        """Return every input of a recipe with version and digest; None while one has never been resolved."""
        found: list[Origin] = []
        for item in recipe.inputs:
            if isinstance(item, ImageInput):
                digest = self.digest(item.image)
                if digest is None:
                    return None
                found.append(Origin("image", item.image, digest[:12], digest))
            elif isinstance(item, FileInput):
                found.append(Origin("file", item.file, "", self._sha256(self.catalogue.base / item.file)))
            elif isinstance(item, FolderInput):
                root = item.below(self.catalogue.base)
                found += [
                    Origin("file", f"{item.folder}/{path.relative_to(root)}", "", self._sha256(path))
                    for path in item.files(self.catalogue.base)
                ]
            else:
                pins = self.lock.pins(locks.identity(item))
                if pins is None:
                    return None
                kind = "source" if isinstance(item, SourceInput | PatchedSourceInput) else "package"
                found += [Origin(kind, pin.name, pin.version, pin.sha256, item.suite) for pin in pins]
        for handle, patches in sorted(recipe.patches.items()):
            found += [
                Origin("patch", f"{handle}: {patch}", "", self._sha256(self.catalogue.base / "patches" / patch))
                for patch in patches
            ]
        return found

    def recipe_digest(self, recipe: Recipe) -> str:
        """Return the digest of what a recipe says, without what cannot change its result."""
        return _digest(recipe.model_dump(mode="json", by_alias=True, exclude={"summary", "after", "variants"}))

    def versions(self, recipe: Recipe) -> dict[str, str]:
        """Return the versions of a recipe's tools."""
        unknown = [name for name in recipe.tools if name not in self._versions]
        if unknown:
            self._versions.update(self.tools.versions(unknown))
        return {name: self._versions[name] for name in recipe.tools}

    def resolve(self, names: Iterable[str], archive: Archive, report: Report) -> None:
        """Make sure that every Debian file of the recipes `names` is downloaded or still on the mirror.

        What has vanished is replaced by the newest of its suite, recorded in this host's lock, and said in
        a notice. Raises FetchError.
        """
        needed: dict[str, dict[str, DebianInput]] = {}
        for name in names:
            for item in debian_inputs(self.catalogue.recipe(name)):
                key = locks.identity(item)
                if not self._downloaded(self.lock.pins(key)):
                    needed.setdefault(item.suite, {})[key] = item
        for suite, items in needed.items():
            task = f"index of Debian {suite}"
            report(Event(task, "running", "asking the mirror"))
            with self.store.lock(f"apt-{suite}"):
                architectures: set[Arch] = {getattr(item, "arch", "amd64") for item in items.values()}
                for architecture in sorted(architectures):
                    archive.refresh(suite, architecture)
                found = {key: archive.resolve(item, self.lock.pins(key)) for key, item in items.items()}
            report(Event(task, "done", f"{sum(map(len, found.values()))} files found"))
            for key, pins in found.items():
                self._adopt(key, pins, report)

    def _adopt(self, key: str, pins: Pins, report: Report) -> None:
        before = self.lock.pins(key)
        if before is not None and locks.digest(before) == locks.digest(pins):
            return
        self.lock.record(key, pins)
        self._digests.clear()
        changed = locks.changes(before, pins)
        text = f"{changed[0]} and {len(changed) - 1} more" if len(changed) > 1 else "".join(changed)
        if before is not None:
            report(
                Event(
                    f"image input {key}",
                    "notice",
                    f"{key}: the locked version is gone from the mirror, the newest one is used: "
                    f"{text or 'same version, other file'}; `testbed images lock` records it",
                )
            )

    def _downloaded(self, pins: Pins | None) -> bool:
        folder = self.store.root / "downloads"
        return pins is not None and all((folder / pin.sha256).is_file() for pin in pins)

    def _compute(self, recipe: Recipe, origins: list[Origin]) -> str:
        return _digest(
            {
                "builder": BUILDER_VERSION,
                "recipe": self.recipe_digest(recipe),
                "inputs": [[item.kind, item.name, item.version, item.sha256] for item in origins],
                "tools": self.versions(recipe),
            }
        )

    def _sha256(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = sha256_file(path)
        return self._files[path]


def debian_inputs(recipe: Recipe) -> list[DebianInput]:
    """Return those inputs of a recipe that come from a Debian archive."""
    return [item for item in recipe.inputs if isinstance(item, DebianInput)]


def _digest(data: Any) -> str:
    return sha256_bytes(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())
