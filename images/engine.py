"""Builds what is missing: in parallel where recipes do not need each other, each one once for all processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from filelock import Timeout

from base.errors import InfraError, TestbedError
from base.files import atomic_write, sha256_file
from base.progress import Event, Report
from images import lock as locks
from images.apt import AptArchive, Archive
from images.builders import Workplace, build
from images.errors import BuildError
from images.lock import Pin
from images.mirror import find_mirror
from images.plan import Plan, debian_inputs
from images.process import Cancelled, Processes
from images.recipe import (
    ClosureInput,
    FileInput,
    FolderInput,
    ImageInput,
    PackageInput,
    PatchedSourceInput,
    Recipe,
    SourceInput,
)
from images.store import Artifact, Store, new_record, remove_tree
from images.unpack import Unpacker

# Hears of each image how it ended: the artifact, or what went wrong.
Ended = Callable[[str, Artifact | TestbedError], None]
# What a recipe is taken to need (seconds) before it was ever built here: only the order depends on it.
_GUESS = 30.0
# From how many images on the first build is a long one, and how long (docs/images.md).
_MANY = 8
_FIRST_TIME = "about a quarter of an hour on two processors, then never again"
# Free disk space (bytes) without which a build is not begun: an unpacked kernel with its objects is 2 GB.
_FREE = 4 << 30


class Engine:
    """One run of builds."""

    def __init__(self, plan: Plan, report: Report, jobs: int | None = None, archive: Archive | None = None) -> None:
        self._plan = plan
        self._store: Store = plan.store
        self._report = report
        self._jobs = jobs or len(os.sched_getaffinity(0))
        self._processes = Processes()
        self._apt: Archive | None = archive
        self._guard = threading.Lock()
        self._timings = self._store.root / "timings.json"
        self._expected = _read_timings(self._timings)

    def ensure(self, names: Iterable[str]) -> dict[str, Artifact]:
        """Return the artifacts of `names`, built where the cache lacks them.

        Raises FetchError, PatchError, BuildError, ToolError, UsageError; KeyboardInterrupt stops all builds.
        """
        wanted = list(dict.fromkeys(names))
        found, missing = self._plan.missing(wanted)
        for artifact in found.values():
            self._store.use(artifact)
        if missing:
            self._store.sweep()
            self._check_host(missing)
            # Resolving can change digests, and then what is missing; versions settle after one round.
            self._plan.resolve(missing, self._archive(), self._report)
            found, missing = self._plan.missing(wanted)
        if missing:
            found |= self._build_all(missing)
        return {name: found[name] for name in wanted}

    def build_each(self, names: Iterable[str], ended: Ended) -> None:
        """Build what the cache lacks of `names`, and say of each how that ended as soon as it is known.

        What cannot be made stops only what needs it. Raises Cancelled after `cancel`.
        """
        wanted = list(dict.fromkeys(names))
        found, missing = self._plan.missing(wanted)
        for name, artifact in found.items():
            self._store.use(artifact)
            ended(name, artifact)
        if not missing:
            return
        try:
            self._store.sweep()
            self._check_host(missing)
            self._plan.resolve(missing, self._archive(), self._report)
            missing = self._plan.missing(missing)[1]
        except Cancelled:
            raise
        except TestbedError as error:
            for name in missing:
                self._report(Event(f"image {name}", "failed", error.message.partition("\n")[0]))
                ended(name, error)
            return
        self._build_all(missing, ended)
        # Resolving can have turned a missing one into one that is there.
        for name in wanted:
            if name not in found and name not in missing and (late := self._plan.find(name)):
                ended(name, late)

    def cancel(self) -> None:
        """Stop all builds, from any thread."""
        self._processes.cancel()

    def _check_host(self, missing: list[str]) -> None:
        for name in missing:
            recipe = self._plan.catalogue.recipe(name)
            self._plan.tools.require(recipe.tools, name)
        free = shutil.disk_usage(self._store.folder("build")).free
        if free < _FREE:
            raise InfraError(
                f"only {free >> 20} MiB are free below {self._store.root}",
                hint="`testbed images gc` removes what no recipe needs; TESTBED_CACHE names another folder",
            )

    def _archive(self) -> Archive:
        if self._apt is None:
            log = self._store.folder("logs") / f"apt-{os.getpid()}.log"
            self._apt = AptArchive(self._store.folder("apt"), find_mirror(), self._processes, log)
        return self._apt

    def _build_all(self, names: list[str], ended: Ended | None = None) -> dict[str, Artifact]:
        """Build all of `names`; the first failure ends it, unless `ended` wants to know of each."""
        if not self._expected and len(names) >= _MANY:
            self._report(Event("", "notice", f"{len(names)} images to build for the first time: {_FIRST_TIME}"))
        for name in names:
            self._report(Event(f"image {name}", "waiting", "", self._expected.get(name)))
        done: dict[str, Artifact] = {}
        waiting = {name: self._waits_for(name, set(names)) for name in names}
        weight = self._weights(names)
        # Two at a time already keep two cores busy through the single-threaded parts (configure, link, unpack).
        limit = max(2, self._jobs // 2)
        running: dict[Future[Artifact], str] = {}
        with ThreadPoolExecutor(limit, thread_name_prefix="image") as pool:
            try:
                while waiting or running:
                    ready = sorted((n for n, needs in waiting.items() if not needs), key=lambda n: -weight[n])
                    for name in ready[: limit - len(running)]:
                        del waiting[name]
                        running[pool.submit(self._build_one, name)] = name
                    over, _ = wait(running, return_when="FIRST_COMPLETED")
                    fatal = any(future.exception() and (ended is None or _is_fatal(future)) for future in over)
                    if fatal:
                        self._processes.cancel()
                        raise _first_error(wait(running).done)
                    for future in over:
                        name = running.pop(future)
                        if error := future.exception():
                            self._give_up(name, error, waiting, ended)
                        else:
                            done[name] = future.result()
                            if ended is not None:
                                ended(name, done[name])
                        for needs in waiting.values():
                            needs.discard(name)
            except BaseException:
                self._processes.cancel()
                raise
        return done

    def _give_up(self, name: str, error: BaseException, waiting: dict[str, set[str]], ended: Ended | None) -> None:
        """Leave out, and tell, what needs an image that could not be made; what only came after it stays."""
        assert ended is not None
        assert isinstance(error, TestbedError)
        ended(name, error)
        for other in [other for other in waiting if name in self._plan.catalogue.needs(other)]:
            if waiting.pop(other, None) is not None:
                lost = BuildError(f"image '{other}' needs image '{name}', and that failed: {error}", where=error.where)
                self._report(Event(f"image {other}", "failed", f"image {name} failed"))
                self._give_up(other, lost, waiting, ended)

    def _waits_for(self, name: str, among: set[str]) -> set[str]:
        recipe = self._plan.catalogue.recipe(name)
        return {other for other in (*self._plan.catalogue.needs(name), *recipe.after) if other in among}

    def _weights(self, names: list[str]) -> dict[str, float]:
        # The longest way to the end of the run first.
        weight: dict[str, float] = {}
        for name in reversed(names):
            users = [other for other in names if name in self._waits_for(other, set(names))]
            weight[name] = self._expected.get(name, _GUESS) + max((weight[user] for user in users), default=0.0)
        return weight

    def _build_one(self, name: str) -> Artifact:
        task = f"image {name}"
        expected = self._expected.get(name)
        digest = self._plan.digest(name)
        if digest is None:
            raise BuildError(f"image '{name}': its inputs are not resolved")
        start = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                lock = self._store.lock(name)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    self._report(Event(task, "waiting", "another process builds it", expected))
                    while not lock.is_locked:
                        self._processes.check()
                        with contextlib.suppress(Timeout):
                            lock.acquire(timeout=1, poll_interval=0.1)
                stack.callback(lock.release)
                if artifact := self._store.find(name, digest):
                    self._report(Event(task, "done", "built by another process", expected))
                    return artifact
                artifact = self._make(self._plan.catalogue.recipe(name), digest, expected)
        except Cancelled:
            raise
        except BaseException as error:
            detail = error.message.partition("\n")[0] if isinstance(error, TestbedError) else str(error)
            self._report(Event(task, "failed", detail, expected, time.monotonic() - start))
            raise
        elapsed = time.monotonic() - start
        self._remember(name, elapsed)
        self._report(Event(task, "done", "", expected, elapsed))
        return artifact

    def _make(self, recipe: Recipe, digest: str, expected: float | None) -> Artifact:
        start = time.monotonic()
        folder = self._store.folder("build") / recipe.name
        if folder.exists():
            remove_tree(folder)  # what an interrupted build left; we hold its lock
        log = self._store.folder("logs") / f"{recipe.name}-{digest[:12]}.log"
        log.write_bytes(b"")
        out = folder / "out"
        out.mkdir(parents=True)

        def say(detail: str) -> None:
            self._processes.check()
            self._report(Event(f"image {recipe.name}", "running", detail, expected))

        try:
            inputs = self._inputs(recipe, folder / "src", log, say)
            say("building")
            ccache = self._store.folder("ccache")
            build(Workplace(recipe, folder, out, inputs, log, self._jobs, ccache), self._processes)
            say("recording")
            origins = self._plan.origins(recipe) or []
            digest_of_recipe = self._plan.recipe_digest(recipe)
            record = new_record(recipe.name, digest_of_recipe, origins, self._plan.versions(recipe))
            record["seconds"] = round(time.monotonic() - start, 1)
            return self._store.publish(recipe.name, digest, out, record)
        except OSError as error:
            raise BuildError(f"image '{recipe.name}': {error}", hint="is the disk full?", where=str(log)) from error
        finally:
            if not os.environ.get("TESTBED_KEEP_BUILD"):
                remove_tree(folder)

    def _inputs(self, recipe: Recipe, folder: Path, log: Path, say: Callable[[str], None]) -> dict[str, Path]:
        files = self._fetch(recipe, say)
        unpacker = Unpacker(recipe.name, self._processes, log)
        inputs: dict[str, Path] = {}
        say("unpacking")
        for item in recipe.inputs:
            place = folder / item.handle
            inputs[item.handle] = place
            match item:
                case FileInput() | FolderInput():
                    inputs[item.handle] = item.below(self._plan.catalogue.base)
                case ImageInput():
                    artifact = self._plan.find(item.image)
                    if artifact is None:
                        raise BuildError(f"image '{recipe.name}': its input '{item.image}' vanished from the cache")
                    inputs[item.handle] = artifact.path
                case SourceInput():
                    for file in files[locks.identity(item)]:
                        unpacker.archive(file, place)
                case PatchedSourceInput():
                    # The lock is sorted: VERSION-REVISION.debian.tar comes before VERSION.orig.tar.
                    debian, upstream = files[locks.identity(item)]
                    unpacker.patched_source(upstream, debian, place)
                case ClosureInput():
                    unpacker.packages(files[locks.identity(item)], place)
                case PackageInput(unpack=None):
                    unpacker.packages(files[locks.identity(item)], place)
                case PackageInput():
                    whole = folder / f"{item.handle}.package"
                    unpacker.packages(files[locks.identity(item)], whole)
                    unpacker.archive(whole / str(item.unpack), place)
                    remove_tree(whole)
        for handle, patches in recipe.patches.items():
            say("patching")
            for patch in patches:
                unpacker.patch(self._plan.catalogue.base / "patches" / patch, inputs[handle])
        return inputs

    def _fetch(self, recipe: Recipe, say: Callable[[str], None]) -> dict[str, list[Path]]:
        """Return the files of every Debian input, downloaded where need be and all of them checked."""
        folder = self._store.folder("downloads")
        found: dict[str, list[Path]] = {}
        for item in debian_inputs(recipe):
            key = locks.identity(item)
            pins = self._plan.lock.pins(key) or ()
            with self._store.lock(f"download-{locks.digest(pins)[:12]}"):
                absent = [pin for pin in pins if not _good(folder, pin)]
                if absent:
                    size = sum(pin.size for pin in absent)
                    say(f"downloading {len(absent)} file{'s'[: len(absent) > 1]}, {max(1, size >> 20)} MiB")
                    self._download(absent, folder)
            found[key] = [folder / pin.sha256 for pin in pins]
        return found

    def _download(self, pins: list[Pin], folder: Path) -> None:
        # The cache's own folder, so that a download cut short never has the name of a whole one.
        temporary = self._store.temporary()
        try:
            self._archive().fetch(pins, temporary)
            for pin in pins:
                (temporary / pin.sha256).replace(folder / pin.sha256)
        finally:
            remove_tree(temporary)

    def _remember(self, name: str, elapsed: float) -> None:
        with self._guard:
            timings = _read_timings(self._timings)
            timings[name] = round(elapsed, 1)
            with contextlib.suppress(OSError):
                atomic_write(self._timings, json.dumps(timings, indent=1, sort_keys=True))


def _is_fatal(future: Future[Artifact]) -> bool:
    """Tell whether a build ended by what ends all of them: a bug, the user, the end of the run."""
    error = future.exception()
    return isinstance(error, Cancelled) or not isinstance(error, TestbedError)


def _first_error(futures: Iterable[Future[Artifact]]) -> BaseException:
    """Return the error that began it all: the others were only stopped because of it."""
    errors = [error for future in futures if (error := future.exception())]
    return next((error for error in errors if not isinstance(error, Cancelled)), errors[0])


def _good(folder: Path, pin: Pin) -> bool:
    path = folder / pin.sha256
    return path.is_file() and path.stat().st_size == pin.size and sha256_file(path) == pin.sha256


def _read_timings(path: Path) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
