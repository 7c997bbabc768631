"""A machine whose interrupt controller is out of its kernel's reach for ever: a fault of the simulator's.

On mac99 the controller (OpenPIC) is in a PCI device, mac-io. Linux has PCI devices not decode their addresses while it
sizes their BARs. An interrupt that comes then can be neither read nor ended: it comes again and again. A real G5's is
not sized, and QEMU's would hardly ever interrupt at that time, but for a source of its OpenPIC (10.0.13;
`write_IRQreg_ivpr` in hw/intc/openpic.c) that stays pending when it becomes level-sensitive: it interrupts up to a
second without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sim.errors import ControllerHidden
from sim.lost import PATIENCE
from sim.qmp import Qmp

# Hidden at each look while the machine's CPUs ran for so long (s), a device stays so. Linux hides it for some 0.1 ms;
# after a reset OpenBIOS needs 0.3 s to find it.
HIDDEN_AFTER = 4.0
# What QMP calls the address of a region that is not mapped (PCI_BAR_UNMAPPED, as a signed number).
UNMAPPED = -1


class ControllerWatch:
    """Looks at a PCI device (`vendor:device`, in hexadecimal) from time to time.

    `ran` tells for how long (s) the machine's CPUs have run.
    """

    def __init__(self, qmp: Qmp, device: str, ran: Callable[[], float]) -> None:
        self._qmp = qmp
        self._device = device
        self._ran = ran
        self._found = False
        self._hidden_at: float | None = None

    async def look(self) -> None:
        """Raise ControllerHidden if the device was there and is hidden for good; QmpFailed, TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            is_hidden = hidden(await self._qmp.probe("query-pci"), self._device)
        if not is_hidden:
            self._found, self._hidden_at = True, None
        elif not self._found:
            return  # the firmware has not got so far
        elif self._hidden_at is None:
            self._hidden_at = self._ran()
        elif self._ran() - self._hidden_at >= HIDDEN_AFTER:
            raise ControllerHidden(
                "an interrupt came while the kernel had hidden the device in which its interrupt controller is: "
                "it can never be ended",
                hint="a fault of the simulator, which says nothing about what runs on it: docs/findings.md; "
                "`--qemu fixed` does not have it",
            )


def hidden(buses: Sequence[Mapping[str, Any]], device: str) -> bool:
    """Whether no memory of a PCI device is mapped, by the answer to QMP's `query-pci`; False if there is none."""
    vendor, number = (int(word, 16) for word in device.split(":"))
    addresses = [
        region["address"]
        for found in _devices(buses)
        if (found["id"]["vendor"], found["id"]["device"]) == (vendor, number)
        for region in found["regions"]
        if region["type"] == "memory"
    ]
    return bool(addresses) and all(address == UNMAPPED for address in addresses)


def _devices(buses: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for bus in buses:
        for device in bus.get("devices", ()):
            yield device
            if "pci_bridge" in device:
                yield from _devices([device["pci_bridge"]])
