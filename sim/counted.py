"""Machines whose time is counted in instructions, so that a boot can be repeated: QEMU's -icount, record and replay."""

from __future__ import annotations

# Eight nanoseconds for each instruction (2 to the power of `shift`), about what a 970 took; a machine with nothing to
# do goes on to its next event at once (QEMU's manual, "-icount").
_COUNTED = "shift=3,sleep=off"
# Recording wants no particular speed: QEMU chooses (docs/system/replay.rst).
_RECORDED = "shift=auto"
# What the machine's clock shows when it is switched on; it goes by counted time.
_CLOCK = "base=2026-01-01,clock=vm"


# A notification of this device is otherwise answered by another thread, whenever the host runs that.
_AT_ONCE = "virtio-serial-pci.ioeventfd=off"


def from_seed(seed: int) -> tuple[str, ...]:
    """Return QEMU's arguments for a machine that has time, clock and random numbers from `seed` alone.

    It must have no random device: QEMU fills a request for entropy when the host comes to it (backends/rng-builtin.c).
    """
    return ("-icount", _COUNTED, "-seed", str(seed), "-rtc", _CLOCK, "-global", _AT_ONCE)


def recording(path: str) -> tuple[str, ...]:
    """Return QEMU's arguments to record what reaches the machine from outside, in the file at `path`."""
    return ("-icount", f"{_RECORDED},rr=record,rrfile={path}")


def replaying(path: str) -> tuple[str, ...]:
    """Return QEMU's arguments to replay what was recorded in the file at `path`."""
    return ("-icount", f"{_RECORDED},rr=replay,rrfile={path}")
