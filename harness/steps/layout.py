"""Where a domU's memory lies: the real-mode area, holes, and what its kernel uses of all that."""

from __future__ import annotations

import re

from harness.cell import Cell
from harness.flattree import BadTree, Node
from harness.steps.answering import DomainParams
from harness.steps.domutree import fetch_tree
from harness.verbs import Seconds, StepFailed, verb

MIB = 1 << 20
_RAM = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.MULTILINE)


class LayoutParams(DomainParams):
    """Parameters of `real-mode-area-ends` and `uses-memory-behind-hole`."""

    within: Seconds = 60.0


@verb("real-mode-area-ends", shorthand="domain")
async def real_mode_area_ends(cell: Cell, params: LayoutParams) -> str:
    """Look where a domU's real-mode area ends, which must be as asked, and that its kernel has the memory beyond."""
    name = params.domain
    config = cell.domain(name).config
    try:
        found = real_mode_area(await fetch_tree(cell, name, params.within))
    except BadTree as error:
        raise StepFailed(f"{name}'s device tree: {error}") from error
    wanted = config.real_mode_area or config.memory
    if found != wanted * MIB:
        raise StepFailed(f"{name}'s real-mode area has {found // MIB} MiB, asked were {wanted} MiB")
    ram = await _ram(cell, params)
    if ram != [(0, config.memory * MIB)]:
        raise StepFailed(f"{name}'s kernel has {shown(ram)}, given were {config.memory} MiB from 0")
    return f"{wanted} MiB of {config.memory} MiB"


@verb("uses-memory-behind-hole", shorthand="domain")
async def uses_memory_behind_hole(cell: Cell, params: LayoutParams) -> str:
    """Look whether a domU's kernel has the memory behind the hole that it was given, and nothing in the hole."""
    name = params.domain
    config = cell.domain(name).config
    if config.hole is None:
        raise StepFailed(f"{name} was given no hole", hint="`create` takes `hole: [address, size]`")
    address, size = config.hole
    given = [(0, config.memory * MIB), (address * MIB, (address + size) * MIB)]
    ram = await _ram(cell, params)
    if ram != given:
        raise StepFailed(f"{name}'s kernel has {shown(ram)}, given were {shown(given)}")
    return shown(ram)


async def _ram(cell: Cell, params: LayoutParams) -> list[tuple[int, int]]:
    answer = await cell.run(params.domain, "cat /proc/iomem", params.within)
    return ram_ranges(answer.output)


def ram_ranges(iomem: str) -> list[tuple[int, int]]:
    """Return begin and end (exclusive) of each piece of memory in /proc/iomem; pieces that touch are one."""
    ranges: list[tuple[int, int]] = []
    for found in _RAM.finditer(iomem):
        begin, end = int(found[1], 16), int(found[2], 16) + 1
        if ranges and ranges[-1][1] == begin:
            begin, _ = ranges.pop()
        ranges.append((begin, end))
    return ranges


def real_mode_area(root: Node) -> int:
    """Return the size of the memory node that begins at 0: what real mode reaches (LoPAPR, B.6.2.1). Raises BadTree."""
    for node in root.called("memory"):
        for address, size in node.ranges(root)[:1]:
            if address == 0:
                return size
    raise BadTree("no memory begins at 0")


def shown(ranges: list[tuple[int, int]]) -> str:
    """Return ranges in MiB as people read them."""
    return ", ".join(f"{begin // MIB}-{end // MIB} MiB" for begin, end in ranges) or "no memory"
