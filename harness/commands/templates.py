"""`testbed templates`: the saved machines from which cells start warm."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from base.errors import EXIT_OK
from sim.templates import TemplateStore, limit

EPILOG = """\
A template is made by the first cell that needs it and used by those after it, as long as kernel, QEMU, firmware,
initramfs, arguments, steps and our own code are the same. `./testbed run --cold` uses none and makes none.
TESTBED_TEMPLATES limits what all may take up, in GiB; the least recently used go first."""


def main(argv: Sequence[str]) -> int:
    """List or remove templates; returns 0. Raises OSError, UsageError."""
    parser = argparse.ArgumentParser(
        prog="testbed templates",
        description="The saved machines from which cells start warm.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("list", "clear"), default="list", help="default: list")
    options = parser.parse_args(argv)
    store = TemplateStore()
    templates = store.all()
    for template in templates:
        size = "unusable" if template.unusable else f"{template.bytes >> 20} MiB"
        print(f"{template.name}  {size:>9}  {template.made:%Y-%m-%d %H:%M}  {template.label}")
        if template.unusable:
            print(f"                  {template.unusable}")
    if options.action == "clear":
        for template in templates:
            store.discard(template)
    total = sum(template.bytes for template in templates) / (1 << 30)
    done = "removed" if options.action == "clear" else f"of at most {limit() >> 30} GiB; they are in {store.root}"
    print(f"{len(templates)} templates, {total:.1f} GiB {done}")
    return EXIT_OK
