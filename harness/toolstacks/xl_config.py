"""A domU as `xl` is told of it (xl.cfg(5))."""

from __future__ import annotations

from harness.domain import Disk, DiskUse, DomainConfig
from harness.host import BRIDGE
from harness.hypervisor import DomuMachine
from harness.toolstacks.qemu_args import kernel_arguments
from harness.verbs import StepFailed

# The console that carries commands. libxl 4.17 numbers channels from 0, and refuses that one, as a domU's console 0 has
# its number; it says so on stderr, and goes on.
CHANNELS = ("refused", "org.testbed.command")
# Disks as a domU has them from its start, by number; those that are plugged in later come behind.
FIRST_DISK, FIRST_PLUGGED = 0, 8
# Below this, Linux's PV block devices have one letter.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def configuration(domu: DomuMachine, config: DomainConfig, *, disks: bool) -> str:
    """Return the file that `xl create` and `xl restore` read, with or without the domU's disks.

    Raises StepFailed for what a PV domU cannot be asked for.
    """
    asked = {
        "balloon": config.balloon != "plain",
        "topology": config.topology is not None,
        "real-mode-area": config.real_mode_area > 0,
        "hole": config.hole is not None,
        "keeps-nvram": config.keeps_nvram,
    }
    if refused := [name for name, wanted in asked.items() if wanted]:
        raise StepFailed(f"{config.name}: a PV domU of Xen's has no {refused[0]}", hint="give the scenario a `needs:`")
    lines: dict[str, str | int | list[str]] = {
        "name": config.name,
        "kernel": domu.kernel,
        "ramdisk": domu.initrd,
        "extra": kernel_arguments(domu, config),
        "memory": config.memory,
        "vcpus": config.vcpus,
        "maxvcpus": max(config.vcpus, config.max_vcpus),
        "channel": [f"name={name},connection=pty" for name in CHANNELS],
        "disk": all_disks(config) if disks else [],
        "vif": [nic_words(nic.mac) for nic in config.nics],
        # One that has stopped is there until the harness has seen why.
        "on_poweroff": "preserve",
        "on_crash": "preserve",
        "on_reboot": "restart",
    }
    return "".join(f"{name} = {_value(value)}\n" for name, value in lines.items())


def _value(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return str(value) if isinstance(value, int) else '"' + value.replace('"', r"\"") + '"'


def all_disks(config: DomainConfig) -> list[str]:
    """Return the disks of a domU in the words of xl-disk-configuration(5)."""
    return [disk_words(given, number) for number, given in enumerate(config.disks, FIRST_DISK)]


def disk_words(given: DiskUse, number: int) -> str:
    """Return a disk in the words of xl-disk-configuration(5); `number` counts the domU's disks."""
    access = "ro" if given.read_only else "rw"
    return f"format=raw,vdev={device(number)},access={access},target={given.disk.path}"


def device(number: int) -> str:
    """Return the name that a domU's disk has in it. Raises StepFailed when there are no more letters."""
    if number >= len(LETTERS):
        raise StepFailed(f"a domU has at most {len(LETTERS)} disks")
    return f"xvd{LETTERS[number]}"


def plugged(disk: Disk, number: int) -> tuple[str, str]:
    """Return a disk that is plugged in, in the words of `xl block-attach`, and the name that it has in the domU."""
    return disk_words(DiskUse(disk), FIRST_PLUGGED + number), device(FIRST_PLUGGED + number)


def nic_words(mac: str) -> str:
    """Return a network card on dom0's bridge in the words of xl-network-configuration(5)."""
    return f"mac={mac},bridge={BRIDGE}"
