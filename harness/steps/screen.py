"""Verbs that look at the machine's screen: the text on it, read by the kernel's own font."""

from __future__ import annotations

import re
import secrets
import tempfile
from pathlib import Path

from harness.cell import Cell
from harness.verbs import Pattern, Seconds, StepFailed, StepParams, verb
from sim.errors import NoScreen
from sim.platform import DOM0
from sim.screen import find_font, read_ppm, read_text, take_picture

SCREENS = "screens"


class ScreenParams(StepParams):
    """Parameters of verbs about a screen: whose, of the scenario's `hosts`."""

    host: str = DOM0
    within: Seconds = 30.0


class ShowsParams(ScreenParams):
    """Parameters of `screen-shows`: a regular expression for a part of one line."""

    text: Pattern


@verb("screen-shows", shorthand="text")
async def screen_shows(cell: Cell, params: ShowsParams) -> str:
    """Look at the screen: a line of its text console must have this text."""
    lines = await _read(cell, params.host, "shows", params.within)
    found = next((line for line in lines if re.search(params.text, line)), None)
    if found is None:
        raise StepFailed(f"no line of the screen has /{params.text}/; it ends with: {_end(lines)}")
    return found


@verb("screen-answers", shorthand="host")
async def screen_answers(cell: Cell, params: ScreenParams) -> str:
    """Let the kernel say words that nobody could know: they must come to stand on the screen, in their order."""
    words = [secrets.token_hex(8) for _ in range(3)]
    for word in words:
        await cell.must(params.host, f"echo testbed {word} >/dev/kmsg", params.within)
    lines = await _read(cell, params.host, "answers", params.within)
    shown = [match[1] for line in lines if (match := re.search(r"testbed ([0-9a-f]{16})$", line))]
    if shown[-len(words) :] != words:
        raise StepFailed(f"the kernel said {', '.join(words)}; the screen ends with: {_end(lines)}")
    return f"{len(lines)} lines, the last of them with {words[-1]}"


async def _read(cell: Cell, host: str, name: str, seconds: float) -> list[str]:
    """Take a picture of a machine's screen, keep it as evidence, and return its text. Raises StepFailed."""
    machine = cell.host(host).machine
    kernel = cell.machine_spec.kernel
    assert kernel is not None
    number = cell.notes[SCREENS] = cell.notes.get(SCREENS, 0) + 1
    kept = machine.evidence / SCREENS / f"{number}-{name}.png"
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "screen.ppm")
        try:
            for target in (kept, raw):
                await cell.wait("QEMU takes a picture", take_picture(machine.qmp, target), seconds)
        except NoScreen as error:
            raise StepFailed(error.message, hint="write `machine: {screen: true}`") from error
        lines = _text_of(raw, kernel)
    cell.evidence(f"{SCREENS}/{number}-{name}.txt", "\n".join(lines) + "\n")
    return lines


def _text_of(picture: Path, kernel: Path) -> list[str]:
    try:
        return read_text(read_ppm(picture.read_bytes()), find_font(kernel.read_bytes()))
    except ValueError as error:
        raise StepFailed(f"the screen cannot be read: {error}") from error


def _end(lines: list[str]) -> str:
    said = [line for line in lines if line]
    return " / ".join(said[-3:]) or "(nothing)"
