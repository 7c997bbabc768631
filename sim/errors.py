"""What can end a wait besides its being answered."""

from __future__ import annotations

from base.errors import InfraError, TestbedError


class SimError(TestbedError):
    """The simulated machine, or what runs on it, did something that ends the wait: the product's affair."""


class GuestAlarm(SimError):
    """A console showed a panic, an oops or the like. `domain` names the guest, `excerpt` is what it printed."""

    def __init__(self, domain: str, headline: str, excerpt: str) -> None:
        super().__init__(f"{domain}: {headline}")
        self.domain = domain
        self.headline = headline
        self.excerpt = excerpt


class DeadlineExpired(SimError):
    """What was waited for did not come, though the machine had the time for it."""

    def __init__(self, what: str, spent: str) -> None:
        super().__init__(f"{what}: not within its deadline ({spent})")
        self.what = what


class NoOutput(DeadlineExpired):
    """A console that ought to speak printed nothing for so long that the rest of the deadline is not worth its time."""

    def __init__(self, what: str, spent: str) -> None:
        SimError.__init__(self, f"{what}: no output for too long ({spent})")
        self.what = what


class QemuCrashed(SimError):
    """QEMU ended itself by an abort or a fault while it simulated the guest."""


class MachineStopped(SimError):
    """The simulated machine was switched off or reset by what runs on it while something else was awaited."""


class QemuKilled(InfraError):
    """QEMU was ended from outside (out of memory, somebody's kill) or ended for a reason that is not the guest's."""


class QemuRefused(InfraError):
    """QEMU did not start: bad arguments, a missing file, no memory."""


class HostStarved(InfraError):
    """The host gave the simulated machine too little CPU time to judge anything."""

    ADVICE = "run again with less beside it, or with fewer workers (-n)"


class CpuLost(InfraError):
    """QEMU put a CPU to sleep and does not wake it (sim/lost.py)."""


class ControllerHidden(InfraError):
    """An interrupt controller is out of its kernel's reach for ever, through QEMU's fault (sim/hidden.py)."""


class QmpFailed(SimError):
    """QEMU answered a QMP command with an error, or hung up. `kind` is QMP's error class, if it sent one."""

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class NoScreen(SimError):
    """The machine has no screen of which a picture could be taken."""


class SnapshotFailed(SimError):
    """A machine could not be saved, or not resumed from what was saved."""
