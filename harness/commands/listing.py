"""`testbed list`: what there is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from base.errors import EXIT_OK
from harness.choosing import add_folders

KINDS = ("platforms", "hypervisors", "qemus", "scenarios", "cells", "verbs")


def main(argv: Sequence[str]) -> int:
    """Print one kind of thing, a line each; returns 0."""
    parser = argparse.ArgumentParser(prog="testbed list", description="List what there is, one line each.")
    parser.add_argument("kind", nargs="?", choices=KINDS, default="cells", help="default: %(default)s")
    add_folders(parser)
    options = parser.parse_args(argv)
    kind = options.kind
    if options.hypervisors:
        from harness.hypervisor import use_folders  # noqa: PLC0415  (lazy: each kind needs its own)

        use_folders(options.hypervisors)
    rows = {
        "platforms": _platforms,
        "hypervisors": _hypervisors,
        "qemus": _qemus,
        "scenarios": _scenarios,
        "cells": _cells,
        "verbs": _verbs,
    }[kind]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name:{width}}  {text}".rstrip())
    return EXIT_OK


def _platforms() -> list[tuple[str, str]]:
    from sim.platform import load_platforms  # noqa: PLC0415  (lazy: each kind needs its own)

    return [(name, f"{p.title}; firmware: {', '.join(p.firmware)}") for name, p in load_platforms().items()]


def _hypervisors() -> list[tuple[str, str]]:
    from harness.hypervisor import load_hypervisors  # noqa: PLC0415

    return [
        (f"{name}/{column}", f"{hypervisor.title}; {text.title}; on {', '.join(hypervisor.platforms)}")
        for name, hypervisor in load_hypervisors().items()
        for column, text in hypervisor.kernels.items()
    ]


def _qemus() -> list[tuple[str, str]]:
    import images  # noqa: PLC0415
    from harness.qemus import known_qemus  # noqa: PLC0415

    recipes = {word: images.load_catalogue().recipe(name) for word, name in known_qemus().items()}
    return [
        # One of ours is of no suite.
        (word, f"as Debian built it for {suite}; image {r.name}" if (suite := r.variables.get("suite")) else r.summary)
        for word, r in recipes.items()
    ]


def _scenarios() -> list[tuple[str, str]]:
    from harness.scenario import load_heads  # noqa: PLC0415

    return [(name, scenario.summary) for name, scenario in load_heads().items()]


def _cells() -> list[tuple[str, str]]:
    from harness.plan import Choice, plan  # noqa: PLC0415
    from harness.scenario import load_heads  # noqa: PLC0415

    cells = plan(load_heads().values(), Choice())
    return [(cell.id().id, f"{cell.scenario.feature} on {cell.platform.title}") for cell in cells]


def _verbs() -> list[tuple[str, str]]:
    from harness.verbs import verbs  # noqa: PLC0415

    return [(name, verb.summary) for name, verb in sorted(verbs().items())]
