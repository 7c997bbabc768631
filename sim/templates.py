"""The store of templates: saved machines by fingerprint, from which a cell starts warm.

A template is a folder below the cache's `templates/`, named by the fingerprint of all that made it. It is written aside
and renamed when it is whole; who starts from it holds a lock, so that it is not trimmed away meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from base.errors import UsageError
from base.files import atomic_write, sha256_bytes
from base.paths import cache_root

RECORD = "template.json"
# What templates may take up on disk (GiB) unless TESTBED_TEMPLATES says otherwise; the least recently used go first.
LIMIT = 16.0
# So much of a fingerprint is shown and names the folder: 64 bits.
SHORT = 16
# Of an input that differs, so many characters are shown.
SHOWN = 24


class Template(BaseModel):
    """What is known of one template (`template.json`).

    `label` says in words what it is, `inputs` are what made it, by name; `bytes` is its size on disk. `unusable` is
    the reason if QEMU saved it and could not resume it. `kept` is whatever else its maker has to remember.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    inputs: dict[str, str]
    made: datetime
    bytes: int = 0
    unusable: str = ""
    kept: dict[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return fingerprint(self.inputs)


def fingerprint(inputs: Mapping[str, str]) -> str:
    """Return the name of what these inputs make."""
    return sha256_bytes(json.dumps(dict(inputs), sort_keys=True).encode())[:SHORT]


@dataclass(frozen=True)
class Draft:
    """A template that is being made: its files go into `folder`."""

    folder: Path
    label: str
    inputs: Mapping[str, str]
    store: TemplateStore

    @property
    def name(self) -> str:
        """What the template will be called."""
        return fingerprint(self.inputs)

    def publish(self, kept: Mapping[str, Any], *, size: int = 0, unusable: str = "") -> Template:
        """Make it a template, or remember why it cannot be one. Raises OSError."""
        made = Template(
            label=self.label, inputs=dict(self.inputs), made=datetime.now(UTC), bytes=size, unusable=unusable, kept=kept
        )
        if unusable:
            for path in self.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        atomic_write(self.folder / RECORD, made.model_dump_json(indent=1) + "\n")
        self.folder.rename(self.store.folder(made))
        self.store.trim(keep=made)
        return made


class TemplateStore:
    """The templates of one cache. All methods raise OSError when the folder cannot be written."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root() / "templates"

    def folder(self, template: Template) -> Path:
        """Return where a template's files are."""
        return self.root / template.name

    def all(self) -> list[Template]:
        """Return all templates, the least recently used first."""
        paths = [path for path in self.root.glob(f"[!.]*/{RECORD}") if path.exists()]
        read = (_read(path) for path in sorted(paths, key=_used))
        return [template for template in read if template is not None]

    @contextlib.contextmanager
    def use(self, inputs: Mapping[str, str]) -> Iterator[Template | None]:
        """Find the template of these inputs, None if there is none; within the block it stays where it is."""
        path = self.root / fingerprint(inputs) / RECORD
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            template = _read(path)
            # Damaged, or trimmed between the opening and the lock.
            if template is not None and template.inputs == dict(inputs):
                os.utime(path)
                yield template
            else:
                yield None

    def differences(self, label: str, inputs: Mapping[str, str]) -> list[str]:
        """Tell by which inputs the newest template with this label is another; empty if there is none."""
        alike = [template for template in self.all() if template.label == label]
        if not alike:
            return []
        other = max(alike, key=lambda template: template.made).inputs
        return [
            f"{name} ({_short(other.get(name))} then, {_short(inputs.get(name))} now)"
            for name in sorted({*other, *inputs})
            if other.get(name) != inputs.get(name)
        ]

    @contextlib.contextmanager
    def claim(self, label: str, inputs: Mapping[str, str]) -> Iterator[Draft | None]:
        """Begin to make a template, unless there is one, or somebody makes it at this moment (None).

        What was not published when the block ends is gone.
        """
        name = fingerprint(inputs)
        self.root.mkdir(parents=True, exist_ok=True)
        folder = self.root / f".{name}.draft"
        lock = FileLock(self.root / f".{name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield None
            return
        try:
            if (self.root / name).exists():
                yield None
                return
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield Draft(folder, label, inputs, self)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()

    def discard(self, template: Template) -> None:
        """Remove a template; who has begun to start from it has its files open."""
        shutil.rmtree(self.folder(template), ignore_errors=True)

    def trim(self, *, keep: Template | None = None) -> list[Template]:
        """Remove the least recently used templates until the rest is within the limit; returns those removed."""
        templates = self.all()
        total = sum(template.bytes for template in templates)
        removed = []
        for template in templates:
            if total <= limit():
                break
            if (keep is None or template.name != keep.name) and self._unused(template):
                self.discard(template)
                removed.append(template)
                total -= template.bytes
        return removed

    def _unused(self, template: Template) -> bool:
        try:
            with (self.folder(template) / RECORD).open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        return True


def limit() -> int:
    """Return how many bytes all templates may take up: `TESTBED_TEMPLATES`, in GiB. Raises UsageError."""
    text = os.environ.get("TESTBED_TEMPLATES", str(LIMIT))
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise UsageError(f"TESTBED_TEMPLATES is '{text}', not a number of GiB", hint="0 keeps none but the newest")
    return int(size * (1 << 30))


def _read(path: Path) -> Template | None:
    try:
        return Template.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        # Gone meanwhile, or written by another version: it is made again.
        return None


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= SHOWN else f"{value[: SHOWN - 3]}..."
