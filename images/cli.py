"""`testbed images`: list, build, verify, gc, lock."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from base.errors import EXIT_INFRA, EXIT_OK
from base.progress import Report, silent

_EPILOG = """\
examples:
  testbed images list                       what there is, and what the cache has of it
  testbed images build linux-970-fixed      build one image and what it needs
  testbed images verify                     hash everything in the cache again
  testbed images lock                       take the newest Debian versions, write images/lock.json

TESTBED_CACHE names the folder of the cache, TESTBED_MIRROR another Debian mirror. docs/images.md tells more.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed images`."""
    top = argparse.ArgumentParser(
        prog="testbed images",
        description="Make kernels, initramfs, firmware and QEMUs from recipes, once, and keep them in the cache.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="what images there are, and which of them the cache has")
    listing.add_argument("--json", action="store_true", help="for programs: name, digest, path, size, recorded origin")
    build = commands.add_parser("build", help="build images and what they need (default: all)")
    build.add_argument("names", nargs="*", metavar="NAME", help="an image of `list`")
    build.add_argument("-j", "--jobs", type=_positive, metavar="N", help="processors to use (default: all)")
    verify = commands.add_parser("verify", help="hash cached images (default: everything) and compare")
    verify.add_argument("names", nargs="*", metavar="NAME", help="an image of `list`")
    verify.add_argument("--repair", action="store_true", help="remove what is damaged, so that it is made again")
    collect = commands.add_parser("gc", help="remove what no recipe needs any more")
    collect.add_argument("--days", type=float, default=7, help="keep what was used within DAYS (default: %(default)s)")
    collect.add_argument("--dry-run", action="store_true", help="only say what would go")
    commands.add_parser("lock", help="resolve Debian inputs to the newest versions and write images/lock.json")
    return top


def main(argv: list[str], report: Report = silent) -> int:
    """Run `testbed images` with these arguments and return the exit code. Raises TestbedError, SystemExit."""
    options = parser().parse_args(argv)
    action = {"list": _list, "build": _build, "verify": _verify, "gc": _gc, "lock": _lock}[options.command]
    return action(options, report)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _list(options: argparse.Namespace, _report: Report) -> int:
    from images.api import new_plan  # noqa: PLC0415  (all imports below are lazy: `--help` stays quick)

    plan = new_plan()
    rows: list[dict[str, Any]] = []
    for name in sorted(plan.catalogue.names):
        artifact = plan.find(name)
        row: dict[str, Any] = {"name": name, "summary": plan.catalogue.recipe(name).summary}
        row |= {"cached": artifact is not None, "digest": plan.digest(name)}
        if artifact:
            from images.store import read_manifest  # noqa: PLC0415

            manifest = read_manifest(artifact.path)
            row |= {"path": str(artifact.path), "provenance": manifest["provenance"]}
            row["size"] = sum(entry.get("size", 0) for entry in manifest["files"].values())
        rows.append(row)
    if options.json:
        print(json.dumps({"schema": 1, "images": rows}, indent=1))
        return EXIT_OK
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("image", "left"), ("cached", "left"), ("size", "right"), ("built in", "right")):
        table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in rows:
        cached = row["digest"][:12] if row["cached"] else "-"
        size = f"{row['size'] / 1e6:.1f} MB" if row["cached"] else ""
        seconds = f"{row['provenance']['seconds']:.0f} s" if row["cached"] else ""
        table.add_row(row["name"], cached, size, seconds, row["summary"])
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    return EXIT_OK


def _build(options: argparse.Namespace, report: Report) -> int:
    from images.api import ensure  # noqa: PLC0415
    from images.catalogue import load_catalogue  # noqa: PLC0415

    catalogue = load_catalogue()
    found = ensure(options.names or catalogue.names, catalogue=catalogue, report=report, jobs=options.jobs)
    for name in sorted(found):
        print(f"{name} {found[name].path}")
    return EXIT_OK


def _verify(options: argparse.Namespace, report: Report) -> int:
    from images.maintain import repair, verify  # noqa: PLC0415
    from images.store import Store  # noqa: PLC0415

    store = Store()
    damaged = 0
    for damage in verify(store, options.names, report):
        damaged += 1
        print(f"damaged: {damage.path}")
        for fault in damage.faults[:10]:
            print(f"  {fault}")
        if options.repair:
            repair(store, damage)
            print("  removed; the next build makes it again")
    if damaged and not options.repair:
        print("`testbed images verify --repair` removes what is damaged, the next build makes it again")
    if not damaged:
        print("everything is as it was built")
    return EXIT_INFRA if damaged else EXIT_OK


def _gc(options: argparse.Namespace, _report: Report) -> int:
    from images.api import new_plan  # noqa: PLC0415
    from images.maintain import collect, garbage  # noqa: PLC0415

    plan = new_plan()
    found = list(garbage(plan, options.days))
    for item in found:
        print(f"{item.size / 1e6:9.1f} MB  {item.path}")
    if options.dry_run:
        print(f"{sum(item.size for item in found) / 1e6:9.1f} MB could go")
    else:
        print(f"{collect(plan.store, found) / 1e6:9.1f} MB removed")
    return EXIT_OK


def _lock(_options: argparse.Namespace, report: Report) -> int:
    from images.api import new_plan  # noqa: PLC0415
    from images.apt import AptArchive  # noqa: PLC0415
    from images.lock import COMMITTED  # noqa: PLC0415
    from images.maintain import relock  # noqa: PLC0415
    from images.mirror import find_mirror  # noqa: PLC0415
    from images.process import Processes  # noqa: PLC0415

    plan = new_plan()
    log = plan.store.folder("logs") / f"apt-{os.getpid()}.log"
    archive = AptArchive(plan.store.folder("apt"), find_mirror(), Processes(), log)
    changed = relock(plan, archive, report)
    for key, lines in changed.items():
        print(f"{key}: {', '.join(lines[:5])}{' ...' if len(lines) > 5 else ''}")
    print(f"{COMMITTED}: {len(changed)} inputs changed")
    return EXIT_OK
