"""The package's functions; `images` exports them lazily."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from base.progress import Report, silent
from images.catalogue import Catalogue, load_catalogue
from images.engine import Engine
from images.lock import Lock
from images.plan import Plan
from images.store import Artifact, Store
from images.tools import Tools


def ensure(
    names: Iterable[str],
    *,
    catalogue: Catalogue | None = None,
    report: Report = silent,
    jobs: int | None = None,
) -> dict[str, Artifact]:
    """Return the artifacts of `names`, building what the cache lacks, with what that needs.

    `jobs` is how many processors to use (default: all that this process may use). What is cached costs no
    network and less than 0.1 s. A name that another process is building is waited for.

    Raises UsageError (unknown name, bad recipe), PatchError (a patch does not apply), FetchError (no network,
    no mirror, bad signature), ToolError (a program is missing), BuildError (the recipe's commands failed).
    """
    return Engine(new_plan(catalogue), report, jobs).ensure(names)


def cached(name: str, *, catalogue: Catalogue | None = None) -> Artifact | None:
    """Return an artifact if the cache has it, building nothing. Raises UsageError for an unknown name."""
    return new_plan(catalogue).find(name)


def build_order(names: Iterable[str], *, catalogue: Catalogue | None = None) -> list[str]:
    """Return what the cache lacks for `names`, with its inputs, in about the order in which it is built."""
    return new_plan(catalogue).missing(names)[1]


def new_plan(catalogue: Catalogue | None = None) -> Plan:
    """Return a plan over the cache of this moment (`TESTBED_CACHE`). Raises YamlError, LockFileError."""
    store = Store()
    return Plan(catalogue or _default(), store, Lock(), Tools(store.root / "tools.json"))


@functools.cache
def _default() -> Catalogue:
    return load_catalogue()
