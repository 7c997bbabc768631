"""Recipes -> content-addressed artifacts: fetch, build, cache, provenance."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from images.api import build_order, cached, ensure
    from images.background import Building
    from images.catalogue import Catalogue, load_catalogue
    from images.sc1 import rewrite_sc1
    from images.store import Artifact, Origin, Provenance
    from images.tree import tree_command

__all__ = [
    "Artifact",
    "Building",
    "Catalogue",
    "Origin",
    "Provenance",
    "build_order",
    "cached",
    "ensure",
    "load_catalogue",
    "rewrite_sc1",
    "tree_command",
]

_HOMES = {
    "api": ("build_order", "cached", "ensure"),
    "background": ("Building",),
    "catalogue": ("Catalogue", "load_catalogue"),
    "sc1": ("rewrite_sc1",),
    "store": ("Artifact", "Origin", "Provenance"),
    "tree": ("tree_command",),
}


def __getattr__(name: str) -> Any:
    # Lazy: `testbed --help` imports this package, and pydantic alone takes longer than it may.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"images.{module}"), name)
    raise AttributeError(f"module 'images' has no attribute '{name}'")
