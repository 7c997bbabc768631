"""A boot that QEMU records and replays: the file, and beside it what it was made with and what the console said."""

from __future__ import annotations

import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

from base.errors import UsageError
from base.yamlmodel import Model
from harness.links import Link
from harness.live.session import live_session
from harness.live.standalone import recorded
from harness.runspec import RunSpec
from harness.steps.answering import PROMPT, SILENCE
from harness.steps.repeat import same, until_prompt
from sim.counted import recording, replaying
from sim.platform import DOM0
from sim.terminal import show_console

META, LOG = "recording.json", "console.log"
EVENTS = "events"


class Recording(Model):
    """What was recorded: the cell's run-spec. The folder has QEMU's `events` and the console's log beside it."""

    spec: RunSpec
    command: str


async def record(spec: RunSpec, folder: Path, target: Path, within: float) -> bytes:
    """Boot dom0 to its shell's prompt and keep a recording in `target`; returns what its console said.

    `target` is an empty folder. Nothing may be typed meanwhile: what comes in by virtio-serial is not recorded, and
    typing at a g5's line stops it.
    Raises as `Cell.wait`.
    """
    events = target / EVENTS
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(live_session(spec, folder))
        machine = await session.cell.start_machine(also=Link(recording(str(events))))
        with show_console(machine.console):
            prompt = machine.console.expect(re.escape(PROMPT))
            await session.cell.wait("dom0's shell waits for a person", prompt, within, silence=SILENCE)
        await session.cell.end_machine(DOM0)
    said = until_prompt((folder / "console" / f"{DOM0}.log").read_bytes())
    (target / LOG).write_bytes(said)
    meta = Recording(spec=spec, command=recorded(folder))
    (target / META).write_text(meta.model_dump_json(by_alias=True, indent=1) + "\n")
    return said


async def replay(source: Path, folder: Path, within: float, args: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    """Replay a recording; returns what was said then, and as much of what is said now. Raises as `Cell.wait`."""
    meta = read_recording(source)
    # QEMU writes to the file that it replays from.
    events = folder / EVENTS
    shutil.copyfile(source / EVENTS, events)
    wanted = (source / LOG).read_bytes()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(live_session(meta.spec, folder, args=args))
        machine = await session.cell.start_machine(also=Link(replaying(str(events))))
        with show_console(machine.console):
            told = await session.cell.wait("the replay says the same", same(machine.console, wanted), within)
    return wanted, told


def read_recording(source: Path) -> Recording:
    """Read what a recording was made with. Raises UsageError."""
    try:
        return Recording.model_validate_json((source / META).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{source} is no recording: {error}", hint="`./testbed record PLATFORM --out DIR`") from error
