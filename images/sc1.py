"""`sc 1` in a guest of KVM-PR.

A guest runs in problem state, and the machine that simulates the host takes its `sc 1` itself. KVM-PR accepts
a substitute, an instruction that no 970 has: major opcode 31, extended 308 (OP_31_XOP_FAKE_SC1 in the kernel's
arch/powerpc/kvm/book3s_emulate.c). Firmware and kernels for a guest on simulated hardware have to use it.
"""

from __future__ import annotations

SC1 = bytes.fromhex("44000022")
SUBSTITUTE = bytes.fromhex("7c000268")


def rewrite_sc1(data: bytes) -> tuple[bytes, int]:
    """Return big-endian code with every aligned `sc 1` replaced by the substitute, and how many there were."""
    out = bytearray(data)
    count = 0
    position = data.find(SC1)
    while position >= 0:
        if position % 4 == 0:
            out[position : position + 4] = SUBSTITUTE
            count += 1
        position = data.find(SC1, position + 1)
    return bytes(out), count
