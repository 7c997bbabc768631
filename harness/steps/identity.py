"""The kernel that booted is the one that was built."""

from __future__ import annotations

import base64
import binascii

from harness.cell import Cell
from harness.kernel import build_id
from harness.steps.answering import DomainParams
from harness.verbs import StepFailed, verb


@verb("same-kernel", shorthand="domain")
async def same_kernel(cell: Cell, params: DomainParams) -> str:
    """Compare the running kernel's release and build id with those of the file that was built."""
    wanted = cell.identity(params.domain)
    answer = await cell.run(params.domain, "uname -r && base64 /sys/kernel/notes", params.within)
    release, _, notes = answer.output.strip().partition("\n")
    try:
        running = build_id(base64.b64decode(notes), wanted.order)
    except binascii.Error as error:
        raise StepFailed(f"{params.domain} does not tell its build id: {answer.output.strip()}") from error
    cell.fact(f"kernel.{params.domain}.release", release)
    cell.fact(f"kernel.{params.domain}.build-id", running)
    if (release, running) != (wanted.release, wanted.build_id):
        raise StepFailed(
            f"{params.domain} runs {release} ({running or 'no build id'}), but built was "
            f"{wanted.release} ({wanted.build_id or 'no build id'})"
        )
    return f"{release}, build id {running}"
