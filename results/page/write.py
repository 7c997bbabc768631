"""Writes pages by templates into one folder. All that comes from results is escaped by jinja2, without exception."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from results.model import Status, Verdict
from results.page.terminal import visible

HERE = Path(__file__).parent
# Nothing but the folder's own style, script and pictures; no form, no frame, no other place.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'"
)
SHAPES = {
    Verdict.PASS: "yes",
    Verdict.FAIL: "no",
    Verdict.TIMEOUT: "no",
    Verdict.INFRA: "untested",
    Verdict.SKIP: "na",
    Verdict.XFAIL: "no",
    Verdict.XPASS: "yes",
}
REMARKS = {Verdict.XFAIL: "fails, as expected", Verdict.XPASS: "passes unexpectedly"}


class Writer:
    """Renders templates into files below `folder`. `made` is the time that every page tells, in UTC."""

    def __init__(self, folder: Path, made: datetime) -> None:
        self.folder = folder
        self.made = made
        self._folder = str(folder)
        self._made: set[str] = set()

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"policy": POLICY, "made": self.made, "shapes": SHAPES, "verdict_words": REMARKS}
        environment.filters |= {
            "day": lambda when: when.date().isoformat(),
            "minute": lambda when: f"{when.isoformat(' ', 'minutes')[:16]} UTC",
            "kind": kind,
            "size": size,
            "took": took,
            "visible": lambda text: visible(str(text)),
            "web": lambda link: link if re.match(r"https?://", link) else "",
            "href": lambda path: quote(path, safe="/#._-"),
        }
        return environment

    def render(self, template: str, **values: Any) -> str:
        """Return a template filled with `values`. Raises jinja2.TemplateError for a mistake in it."""
        return self._environment.get_template(template).render(values)

    def page(self, path: str, template: str, **values: Any) -> None:
        """Write a page; `root` leads from it to the folder. Raises OSError."""
        self.text(path, self.render(template, root="../" * path.count("/"), **values))

    def text(self, path: str, text: str) -> None:
        """Write a file, whole or not at all for whoever reads meanwhile. Raises OSError."""
        target = self.place(path)
        # No fsync: it can be made again. Not over a page that is there: somebody may be reading it.
        temporary = f"{target}.{os.getpid()}"
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as stream:  # noqa: PTH123  (speed)
            stream.write(text)
        os.rename(temporary, target)  # noqa: PTH104  (speed)

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


def kind(status: Status) -> str:
    """Return the CSS class of a status."""
    return "na" if status is Status.NA else status.value


def size(number: float) -> str:
    """Return a size in bytes for people: `12.4 KiB`."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def took(seconds: float) -> str:
    """Return a time in seconds for people: `0.42 s`, `3.1 s`, `2 min 05 s`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
