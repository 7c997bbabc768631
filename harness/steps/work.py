"""Verbs of a domU at work: things it does without end, and the proof that none of them was disturbed."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from base.yamlmodel import Model
from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.steps.disks import find_disk
from harness.steps.domains import boot_id
from harness.steps.networks import PING_EVERY, address_of
from harness.verbs import Seconds, StepFailed, verb
from sim.platform import DOM0

Activity = Literal["counter", "timer", "disk", "network"]
FOLDER = "/run/witness"
MOUNT = "/mnt/work"
# Counter and log carry a chain of numbers, each computed from the one before (images/guest/witness.c): a bit that is
# wrong shows.
FACTOR, ADDEND, MODULUS, FIRST = 75, 74, 65537, 1
# How far an activity must come during a look, each in its own unit.
STEPS_ON = {"counter": 20000, "timer": 5, "disk": 3, "network": 3}

_START = {
    "counter": f"exec witness counter {FOLDER}/counter",
    "timer": f"exec witness timer {FOLDER}/timer",
    "disk": f"exec witness log {FOLDER}/disk {MOUNT}/log",
    "network": f"exec ping -i {PING_EVERY} PEER >{FOLDER}/network",
}
# What a domU tells of itself in one command, for each process that it starts costs time.
_LOOK = """
    cat /proc/sys/kernel/random/boot_id
    witness look FOLDER WORKS || exit 1
    [ ! -e FOLDER/network ] || sed -n 's/.* seq=\\([0-9]*\\) .*/\\1/p' FOLDER/network
"""
_CHECK_LOG = f"""
    set -e
    kill $(cat {FOLDER}/disk.pid)
    while [ -e /proc/$(cat {FOLDER}/disk.pid) ]; do usleep 20000; done
    umount {MOUNT}
    echo 3 >/proc/sys/vm/drop_caches
    DISK
    mount -t ext2 -o ro $disk {MOUNT}
    witness check {MOUNT}/log
"""


class StartParams(DomainParams):
    """Parameters of `starts-work`: what the domU does, and with what.

    `disk` is where the disk's log goes, `peer` who is pinged; with `load`, each CPU has more to do than it can.
    """

    at: tuple[Activity, ...] = Field(min_length=1)
    disk: str | None = None
    peer: str = DOM0
    load: bool = False
    within: Seconds = 60.0


class GoesOnParams(DomainParams):
    """Parameters of `work-goes-on`: how many seconds of answers the network may have lost since the last look."""

    lost: Annotated[float, Field(ge=0)] = 2.0
    within: Seconds = 60.0


class WholeParams(DomainParams):
    """Parameters of `work-is-whole`."""

    within: Seconds = 60.0


class Work(Model):
    """What a domU is at: its boot, its activities, the disk they use, and how far each was when last seen."""

    boot: str
    at: tuple[Activity, ...]
    disk: str | None
    seen: dict[str, int]


@verb("starts-work")
async def starts_work(cell: Cell, params: StartParams) -> str:
    """Start a domU's endless activities: a counter, a timer, a checksummed log on a disk, pings."""
    name = params.domain
    if ("disk" in params.at) != (params.disk is not None):
        raise StepFailed("activity `disk` needs the parameter `disk`, and only that does")
    script = f"mkdir -p {FOLDER} {MOUNT}\n"
    if params.disk is not None:
        script += f"{find_disk(cell, params.disk)}\nmke2fs $disk >/dev/null\nmount -t ext2 $disk {MOUNT} || exit 1\n"
    for activity in params.at:
        body = _START[activity].replace("PEER", address_of(cell, params.peer))
        script += f"( {body} ) </dev/null >/dev/null 2>{FOLDER}/{activity}.err & echo $! >{FOLDER}/{activity}.pid\n"
    if params.load:
        script += "for cpu in $(seq $(nproc)); do ( while :; do :; done ) </dev/null >/dev/null 2>&1 & done\n"
    answer = await cell.run(name, script, params.within)
    if answer.status != 0:
        raise StepFailed(f"{name} cannot start to work: {answer.output.strip()}")
    boot = await boot_id(cell, name, params.within)
    work = Work(boot=boot, at=params.at, disk=params.disk, seen=dict.fromkeys(params.at, 0))
    cell.notes[f"work-of-{name}"] = work.model_dump(mode="json")
    return await _look(cell, params, params.within)


@verb("work-goes-on", shorthand="domain")
async def work_goes_on(cell: Cell, params: GoesOnParams) -> str:
    """Look at a domU's activities: same boot, nothing lost or garbled since the last look, and all of them go on."""
    return await _look(cell, params, params.within, lost=params.lost)


@verb("work-is-whole", shorthand="domain")
async def work_is_whole(cell: Cell, params: WholeParams) -> str:
    """End a domU's log on its disk, unmount, mount, and read it from the first line to the last: none is wrong."""
    work = _work(cell, params.domain)
    if work.disk is None:
        raise StepFailed(f"{params.domain} writes to no disk", hint="give `starts-work` a disk")
    script = _CHECK_LOG.replace("DISK", find_disk(cell, work.disk))
    answer = await cell.run(params.domain, script, params.within)
    if answer.status != 0 or int(answer.output) < work.seen["disk"]:
        raise StepFailed(
            f"{params.domain}'s log is not whole ({work.seen['disk']} lines seen): {answer.output.strip()}"
        )
    return f"{answer.output.strip()} lines"


def _work(cell: Cell, name: str) -> Work:
    work = cell.notes.get(f"work-of-{name}")
    if work is None:
        raise StepFailed(f"{name} is not at work", hint="put the step `starts-work` before this one")
    return Work.model_validate(work)


async def _look(cell: Cell, params: DomainParams, seconds: float, *, lost: float | None = None) -> str:
    """Wait until each activity has gone on by a good step, then check what it left. Returns what was seen."""
    name = params.domain
    work = _work(cell, name)
    # From where each is now: what it did before it was disturbed is no proof that it still goes on.
    works = " ".join(f"{activity} {STEPS_ON[activity]}" for activity in work.at)
    answer = await cell.run(name, _LOOK.replace("WORKS", works).replace("FOLDER", FOLDER), seconds)
    boot, *lines = answer.output.splitlines() or [""]
    if boot != work.boot:
        raise StepFailed(f"{name} is another boot: {boot[:8]}, was {work.boot[:8]}")
    if answer.status != 0:
        raise StepFailed(f"{name} does not work as it did: {' '.join(lines)}")
    seen: dict[str, int] = {}
    for line in lines[: len(work.at)]:
        activity, *numbers = line.split()
        first, last, value = (int(number) for number in numbers)
        if first < work.seen[activity]:
            raise StepFailed(f"{name}'s {activity} was at {work.seen[activity]}, and is at {first}")
        if activity == "counter" and value != chain(last):
            raise StepFailed(f"{name}'s counter has {value} at {last}, which must be {chain(last)}")
        seen[activity] = last
    gap = ""
    if "network" in seen:
        # From the last answer of the last look on.
        answers = [int(line) for line in lines[len(work.at) :]][max(0, work.seen["network"] - 1) :]
        gap = _check_network(cell, name, answers, lost)
    cell.notes[f"work-of-{name}"] = work.model_copy(update={"seen": seen}).model_dump(mode="json")
    return ", ".join(f"{activity} {count}" for activity, count in seen.items()) + gap


def _check_network(cell: Cell, name: str, answers: list[int], lost: float | None) -> str:
    gap = longest_gap(answers) * PING_EVERY
    cell.fact(f"network-gap.{name}", round(gap, 1))
    # A card that is joined anew takes its time, which counts by the clock: the pings go on meanwhile.
    allowed = None if lost is None else lost * cell.spec.platform.pace
    if allowed is not None and gap > allowed:
        raise StepFailed(f"{name} had no answer to its pings for {gap:.1f} s, allowed are {allowed:.1f} s")
    return f", {gap:.1f} s without an answer" if gap else ""


def chain(count: int) -> int:
    """Return the value of the counter's chain after `count` steps: a linear congruential generator, jumped."""
    # x -> a*x + c composed `count` times, by squaring.
    factor, addend = 1, 0
    base_factor, base_addend = FACTOR, ADDEND
    while count:
        if count & 1:
            factor, addend = factor * base_factor % MODULUS, (addend * base_factor + base_addend) % MODULUS
        base_factor, base_addend = base_factor * base_factor % MODULUS, (base_factor + 1) * base_addend % MODULUS
        count >>= 1
    return (factor * FIRST + addend) % MODULUS


def longest_gap(numbers: list[int]) -> int:
    """Return the most numbers that are missing in a row of rising ones."""
    return max((after - before - 1 for before, after in pairwise(numbers)), default=0)
