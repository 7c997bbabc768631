"""Verbs about boots that can be repeated: recorded and replayed, or twice from the same seed."""

from __future__ import annotations

import asyncio
import difflib
import re
import tempfile
from pathlib import Path
from typing import Literal

from base.paths import cache_root
from harness.cell import Cell
from harness.links import Link
from harness.steps.answering import PROMPT, SILENCE, boot_silence
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.console import Console
from sim.counted import from_seed, recording, replaying
from sim.platform import DOM0

RECORD = "record"
REPLAYED = "replayed"
DIFFERENCE = "console.diff"
# What printk puts before a line (kernel/printk/printk.c, print_time()), and busybox's shell does not.
_TIME = re.compile(rb"^\[ *\d+\.\d{6}\]", re.MULTILINE)
EXCERPT = 160


class RepeatParams(StepParams):
    """Parameters of verbs that boot a machine whose time is counted."""

    within: Seconds = 180.0


class SeedParams(RepeatParams):
    """Parameters of `boots-from-seed`: what this boot is called."""

    name: Literal["first", "second"]


class AlikeParams(StepParams):
    """Parameters of `boots-were-alike`: whether the kernel's time stamps count."""

    times: bool = True


@verb("records-boot")
async def records_boot(cell: Cell, params: RepeatParams) -> str:
    """Boot dom0 while the simulator records what reaches the machine, until dom0's shell waits for a person."""
    folder = cache_root()
    folder.mkdir(parents=True, exist_ok=True)
    # Without a name in any folder: nothing of it can be left behind.
    record = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (the cell closes it)
    cell.keep(record)
    cell.notes[RECORD] = record.fileno()
    said = await _boot(cell, DOM0, Link(recording(_path(cell)), (record.fileno(),)), params.within)
    return f"{len(said.splitlines())} lines recorded in {record.seek(0, 2) >> 10} KiB"


@verb("replays-boot")
async def replays_boot(cell: Cell, params: RepeatParams) -> str:
    """Replay the recorded boot; dom0's console must say the same, to the byte."""
    if RECORD not in cell.notes:
        raise StepFailed("no boot was recorded", hint="put the step `records-boot` before this one")
    wanted = until_prompt(_log(cell, DOM0).read_bytes())
    also = Link(replaying(_path(cell)), (cell.notes[RECORD],))
    machine = await cell.start_machine(REPLAYED, also=also, hostname=DOM0)
    saying = same(machine.console, wanted)
    told = await cell.wait("the replay says the same", saying, params.within, domain=REPLAYED, silence=SILENCE)
    await cell.end_machine(REPLAYED)
    if told != wanted:
        raise StepFailed(_difference(cell, wanted, told, (DOM0, REPLAYED)))
    return f"{len(wanted.splitlines())} lines, {len(wanted)} bytes alike"


@verb("boots-from-seed", shorthand="name")
async def boots_from_seed(cell: Cell, params: SeedParams) -> str:
    """Boot dom0 with its time counted in instructions and its random numbers drawn from the cell's seed."""
    also = Link(from_seed(cell.spec.seed))
    said = await _boot(cell, params.name, also, params.within, random=False)
    return f"{len(said.splitlines())} lines, seed {cell.spec.seed}"


@verb("boots-were-alike")
async def boots_were_alike(cell: Cell, params: AlikeParams) -> str:
    """Compare what dom0's console said in two boots from the same seed."""
    names = ("first", "second")
    first, second = (until_prompt(_log(cell, name).read_bytes()) for name in names)
    if not params.times:
        first, second = (_TIME.sub(b"[]", said) for said in (first, second))
    if first != second:
        raise StepFailed(_difference(cell, first, second, names))
    return f"{len(first.splitlines())} lines alike"


async def _boot(cell: Cell, name: str, also: Link, within: float, *, random: bool = True) -> bytes:
    """Boot dom0 on a machine called `name` to its shell's prompt, switch it off, return what its console said."""
    machine = await cell.start_machine(name, also=also, hostname=DOM0, random=random)
    cell.fact("qemu", machine.version)
    prompt = machine.console.expect(re.escape(PROMPT))
    await cell.wait("dom0's shell waits for a person", prompt, within, domain=name, silence=boot_silence(cell))
    await cell.end_machine(name)
    return until_prompt(_log(cell, name).read_bytes())


async def same(console: Console, wanted: bytes) -> bytes:
    """Return what `console` says once it has said all of `wanted`, or something else."""
    came = asyncio.Event()
    end_tap = console.tap(lambda _: came.set())
    try:
        while True:
            told = console.log_path.read_bytes()[: len(wanted)]
            if told == wanted or not wanted.startswith(told):
                return told
            await came.wait()
            came.clear()
    finally:
        end_tap()


def until_prompt(said: bytes) -> bytes:
    """Return what was said before a shell's first prompt."""
    return said.partition(PROMPT.encode())[0]


def _path(cell: Cell) -> str:
    return f"/proc/self/fd/{cell.notes[RECORD]}"


def _log(cell: Cell, name: str) -> Path:
    return cell.directory / "console" / f"{name}.log"


def _difference(cell: Cell, first: bytes, second: bytes, names: tuple[str, str]) -> str:
    """Keep how two consoles differ as evidence, and return it in a line."""
    old, new = (said.decode(errors="replace").replace("\r", "").splitlines() for said in (first, second))
    changes = list(difflib.unified_diff(old, new, *names, lineterm="", n=0))
    cell.evidence(DIFFERENCE, "\n".join(changes))
    other = [line for line in changes[2:] if line[0] in "+-"]
    shown = " / ".join(line[:EXCERPT] for line in other[:2])
    return f"the consoles differ in {sum(line[0] == '+' for line in other)} lines ({DIFFERENCE}), first: {shown}"
