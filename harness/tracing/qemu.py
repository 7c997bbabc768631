"""Hypercalls as the QEMU of a domU sees them, held against those that the domU's kernel traced."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.steps.hcalls import HCALLS
from harness.verbs import StepFailed

# QEMU, target/ppc/trace-events. Only what KVM in dom0 leaves to QEMU comes to it.
EVENT = "kvm_handle_papr_hcall"
_CALL = re.compile(rf"{EVENT} 0x([0-9a-f]+)")


@dataclass(frozen=True)
class Compared:
    """Hypercalls that both traced: how many of each; and how many more QEMU saw before the kernel's, and after."""

    counts: Counter[str]
    before: int
    after: int


def calls(log: str) -> list[str]:
    """Return the hypercalls in a QEMU's log, in their order."""
    return [HCALLS.get(int(number, 16), f"0x{number}") for number in _CALL.findall(log)]


def compare(kernel: Sequence[str], qemu: Sequence[str]) -> Compared:
    """Hold the kernel's hypercalls against QEMU's, of those kinds that both have.

    QEMU's trace may begin earlier and end later; in between each call must be there, in the same order.
    Raises StepFailed with the first difference.
    """
    both = set(kernel) & set(qemu)
    mine, theirs = ([call for call in each if call in both] for each in (kernel, qemu))
    if not mine:
        raise StepFailed("no hypercall is in both traces")
    for offset in range(len(theirs) - len(mine) + 1):
        if theirs[offset : offset + len(mine)] == mine:
            return Compared(Counter(mine), offset, len(theirs) - len(mine) - offset)
    counted = [", ".join(f"{call} {count}" for call, count in Counter(each).most_common()) for each in (mine, theirs)]
    raise StepFailed(f"the kernel traced {counted[0]}; that is no part of what QEMU did: {counted[1]}")
