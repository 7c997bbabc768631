"""The options that choose cells, and bring files for them: the same for `run`, `boot` and pytest."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

# Name -> help. Each is a field of `harness.plan.Choice`.
OPTIONS = {
    "platform": "only cells on this platform",
    "hypervisor": "only cells under this hypervisor",
    "kernel": "only this kernel column (stock, fixed), or the file of your own vmlinux",
    "initrd": "the file of your own initramfs for dom0 (nothing is known of what is in it)",
    "dom0": "the file of your own kernel for dom0, where the hypervisor is another file",
    "hypervisor-image": "the file of your own hypervisor, where dom0's kernel is another file",
    "firmware": "the platform's firmware, e.g. vof on pseries-970, or the file of your own",
    "qemu": "the QEMU that simulates: a version (`list qemus`), or the file of your own build",
    "append": "more arguments for dom0's kernel",
}
_SHORT = {"platform": "-p", "hypervisor": "-H", "kernel": "-k"}
_METAVARS = {"qemu": "Q", "append": "ARGS", "platform": "NAME", "hypervisor": "NAME"}


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the option that names folders of hypervisors; `harness.hypervisor.use_folders` takes its value."""
    parser.add_argument(
        "--hypervisors",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder with YAML files of hypervisors of your own (TESTBED_HYPERVISORS names it for good)",
    )


def count(text: str) -> int:
    """Read an option's number, for argparse. Raises ArgumentTypeError for what is not from 1 up."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 up")
    return int(text)


def field(name: str) -> str:
    """Return the field of a choice, and of parsed options, that an option fills."""
    return name.replace("-", "_")


def add_options(parser: argparse.ArgumentParser, leave_out: Sequence[str] = (), several: Sequence[str] = ()) -> None:
    """Add the options to a command's parser, but for some; of `several` the values are a list."""
    for name, text in OPTIONS.items():
        if name not in leave_out:
            short = [_SHORT[name]] if name in _SHORT else []
            if name in several:
                more = f"{text}; may be repeated"
                parser.add_argument(*short, f"--{name}", metavar="NAME", action="append", default=[], help=more)
                continue
            parser.add_argument(
                *short,
                f"--{name}",
                metavar=_METAVARS.get(name, "F"),
                default="" if name == "append" else None,
                help=text,
            )
    add_folders(parser)


def given(get: Callable[[str], Any]) -> dict[str, Any]:
    """Return the options' values as the fields of a choice; `get` returns one by its field."""
    return {field(name): get(field(name)) for name in OPTIONS}
