"""Upkeep of the cache: verify, remove what nothing needs, write the lock anew."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from base.errors import UsageError
from base.files import sha256_file
from base.progress import Event, Report
from images import lock as locks
from images.apt import Archive
from images.lock import Pins
from images.plan import Plan, debian_inputs
from images.store import MANIFEST, Store, faults

# Seconds for which `gc` leaves alone whatever was used: a run that goes on now may hold it.
_GRACE = 3600.0


@dataclass(frozen=True)
class Damage:
    """A part of the cache that is not what it was: its folder or file, and what differs, one phrase each."""

    path: Path
    faults: list[str]


def verify(store: Store, names: Iterable[str], report: Report) -> Iterator[Damage]:
    """Hash every artifact of `names` again (all artifacts and downloads when empty) and yield what is damaged.

    Raises UsageError for a name of which the cache has nothing.
    """
    wanted = set(names)
    seen: set[str] = set()
    for path, manifest in store.artifacts():
        name = manifest["name"] if manifest else path.name.rpartition("-")[0]
        if wanted and name not in wanted:
            continue
        seen.add(name)
        task = f"verify {path.name}"
        report(Event(task, "running", "hashing"))
        found = faults(path)
        report(Event(task, "failed" if found else "done", found[0] if found else "whole"))
        if found:
            yield Damage(path, found)
    if absent := sorted(wanted - seen):
        raise UsageError(f"the cache has no image {', '.join(absent)}", hint="`testbed images build` makes it")
    if not wanted:
        for path in sorted((store.root / "downloads").glob("*")):
            if sha256_file(path) != path.name:
                yield Damage(path, ["not the file that was downloaded"])


def repair(store: Store, damage: Damage) -> None:
    """Remove a damaged artifact or download; the next build makes it again. Raises OSError."""
    if damage.path.is_dir():
        store.discard(damage.path)
    else:
        damage.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Garbage:
    """Something that can go: `size` in bytes."""

    path: Path
    size: int


def garbage(plan: Plan, days: float) -> Iterator[Garbage]:
    """Yield what no recipe needs now and what was not used for `days`: artifacts, downloads, old logs."""
    before = time.time() - max(days * 86400, _GRACE)
    wanted = {plan.store.path(name, digest) for name in plan.catalogue.names if (digest := plan.digest(name))}
    for path, manifest in plan.store.artifacts():
        if path not in wanted and (manifest is None or (path / MANIFEST).stat().st_mtime < before):
            yield Garbage(path, _size(path))
    pinned: set[str] = set()
    for recipe in plan.catalogue.recipes.values():
        for item in debian_inputs(recipe):
            pinned |= {pin.sha256 for pin in plan.lock.pins(locks.identity(item)) or ()}
    for folder, keep in (("downloads", pinned), ("logs", set())):
        for path in sorted((plan.store.root / folder).glob("*")):
            if path.name not in keep and path.stat().st_mtime < before:
                yield Garbage(path, path.stat().st_size)


def collect(store: Store, found: Iterable[Garbage]) -> int:
    """Remove garbage, except what another run is building just now; return how many bytes went."""
    total = 0
    for item in found:
        name = item.path.name.rpartition("-")[0] or item.path.name
        with contextlib.suppress(Timeout), store.lock(name).acquire(timeout=0):
            if item.path.is_dir():
                store.discard(item.path)
            else:
                item.path.unlink(missing_ok=True)
            total += item.size
    store.sweep()
    return total


def relock(plan: Plan, archive: Archive, report: Report, path: Path = locks.COMMITTED) -> dict[str, list[str]]:
    """Resolve every Debian input to the newest of its suite and write the committed lock.

    Returns what changed, by input. Raises FetchError, OSError.
    """
    items = {locks.identity(item): item for recipe in plan.catalogue.recipes.values() for item in debian_inputs(recipe)}
    found: dict[str, Pins] = {}
    changed: dict[str, list[str]] = {}
    for key, item in items.items():
        report(Event(f"lock {key}", "running", "asking the mirror"))
        with plan.store.lock(f"apt-{item.suite}"):
            archive.refresh(item.suite, getattr(item, "arch", "amd64"))
            found[key] = archive.resolve(item, None)
        if difference := locks.changes(plan.lock.committed.get(key), found[key]):
            changed[key] = difference
        report(Event(f"lock {key}", "done", f"{len(found[key])} files"))
    locks.write_committed(found, path)
    return changed


def free_space(store: Store) -> int:
    """Return how many bytes are free where the cache is."""
    return shutil.disk_usage(store.folder("build")).free


def _size(path: Path) -> int:
    return sum(item.lstat().st_size for item in path.rglob("*") if not item.is_dir())
