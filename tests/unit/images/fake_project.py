"""A project of recipes in a temporary folder, and an archive that is not Debian's."""

from __future__ import annotations

import hashlib
import io
import tarfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from base.progress import Event
from images.catalogue import Catalogue, load_catalogue
from images.engine import Engine
from images.errors import FetchError
from images.lock import Lock, Pin, Pins, identity
from images.plan import Plan
from images.recipe import DebianInput
from images.store import Artifact, Store
from images.tools import Tools

# Changes the file that a source's archive has in these tests.
PATCH = """\
--- a/greeting.txt
+++ b/greeting.txt
@@ -1 +1 @@
-hello
+goodbye
"""


def archive_of(files: dict[str, str]) -> bytes:
    """Return a tar archive with one top folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"top/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


class FakeArchive:
    """Versions of inputs by identity, newest last; counts what it is asked for."""

    def __init__(self) -> None:
        self.files: dict[str, list[tuple[Pin, bytes]]] = {}
        self.asked: list[str] = []
        self.online = True

    def offer(self, key: str, name: str, version: str, data: bytes) -> Pin:
        digest = hashlib.sha256(data).hexdigest()
        pin = Pin(name, version, f"pool/{name}_{version}.orig.tar.xz", digest, len(data))
        self.files.setdefault(key, []).append((pin, data))
        return pin

    def refresh(self, suite: str, arch: str) -> None:
        self._ask(f"refresh {suite}/{arch}")

    def resolve(self, item: DebianInput, preferred: Pins | None) -> Pins:
        known = self.files.get(identity(item), [])
        if not known:
            raise FetchError(f"nothing for {identity(item)}")
        return next(((pin,) for pin, _ in known if preferred == (pin,)), (known[-1][0],))

    def fetch(self, pins: Sequence[Pin], folder: Path) -> None:
        self._ask(f"fetch {' '.join(pin.name for pin in pins)}")
        every = {pin: data for known in self.files.values() for pin, data in known}
        for pin in pins:
            (folder / pin.sha256).write_bytes(every[pin])

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if not self.online:
            raise FetchError("no network")


class Project:
    """Recipes, their files, a cache and a lock below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / "cache"
        self.committed = root / "lock.json"
        self.archive = FakeArchive()
        self.events: list[Event] = []
        for name in ("recipes", "patches"):
            (root / name).mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def recipe(self, name: str, text: str) -> Path:
        return self.write(f"recipes/{name}.yaml", f"name: {name}\nsummary: test\n{textwrap.dedent(text)}")

    def load(self) -> Catalogue:
        return load_catalogue(self.root / "recipes")

    def plan(self) -> Plan:
        lock = Lock(self.committed, self.cache / "lock.json")
        return Plan(self.load(), Store(self.cache), lock, Tools(self.cache / "tools.json"))

    def ensure(self, *names: str) -> dict[str, Artifact]:
        self.events.clear()
        return Engine(self.plan(), self.events.append, 2, self.archive).ensure(names)

    def built(self) -> list[str]:
        """Return which images the last `ensure` really built."""
        running = {event.task for event in self.events if event.detail == "building"}
        return sorted(task.removeprefix("image ") for task in running)

    def source(self, key: str = "source hello sid", version: str = "1", text: str = "hello\n") -> Pin:
        return self.archive.offer(key, "hello", version, archive_of({"greeting.txt": text}))
