"""Writes pages by templates into one folder. All that comes from results is escaped by jinja2, without exception."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from results.page.environment import HERE, environment
from results.page.files import write_whole


class Writer:
    """Renders templates into files below `folder`. `made` is the time that every page tells, in UTC."""

    def __init__(self, folder: Path, made: datetime) -> None:
        self.folder = folder
        self.made = made
        self._folder = str(folder)
        self._made: set[str] = set()

    def render(self, template: str, **values: Any) -> str:
        """Return a template filled with `values`. Raises jinja2.TemplateError for a mistake in it."""
        return environment().get_template(template).render(values, made=self.made)

    def page(self, path: str, template: str, *, end: str = "", **values: Any) -> None:
        """Write a page, `end` after it as it is; `root` leads from it to the folder. Raises OSError."""
        self.text(path, self.render(template, root="../" * path.count("/"), **values) + end)

    def text(self, path: str, text: str) -> None:
        """Write a file, whole or not at all for whoever reads meanwhile. Raises OSError."""
        write_whole(self.place(path), text.encode(errors="backslashreplace"))

    def place(self, path: str) -> str:
        """Return where a file of the folder is, whose own folder is made if need be. Raises OSError."""
        folder, _, name = path.rpartition("/")
        if folder not in self._made:
            os.makedirs(f"{self._folder}/{folder}", exist_ok=True)  # noqa: PTH103  (speed)
            self._made.add(folder)
        return f"{self._folder}/{folder}/{name}"

    def copy(self, names: Iterable[str]) -> None:
        """Copy static files as they are. Raises OSError."""
        for name in names:
            self.text(name, (HERE / "static" / name).read_text(encoding="utf-8"))


class Held(Writer):
    """A writer whose files are rendered at once, and written when all of them are let go."""

    def __init__(self, folder: Path, made: datetime) -> None:
        super().__init__(folder, made)
        self._held: dict[str, str] = {}

    def text(self, path: str, text: str) -> None:
        """Keep a file for later."""
        self._held[path] = text

    def let_go(self) -> None:
        """Write all that was kept, in its order. Raises OSError."""
        for path, text in self._held.items():
            super().text(path, text)
        self._held.clear()
