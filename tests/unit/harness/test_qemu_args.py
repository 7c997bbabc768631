"""The command line of a domU's QEMU, and the ports by which it reaches us."""

from __future__ import annotations

from typing import Any, cast

import pytest

from harness.domain import Disk, DiskUse, DomainConfig, Nic
from harness.host import Host, make_slots
from harness.hypervisor import find_hypervisor
from harness.toolstacks.qemu_args import arguments, launch_script
from harness.verbs import StepFailed

SLOT = make_slots(1)[0]
DATA = Disk("data", 16, "/run/disks/data/image")


def _args(incoming: bool = False, **config: Any) -> str:
    domu = find_hypervisor("kvm-pr").domu
    return " ".join(arguments(domu, DomainConfig("u1", 256, **config), SLOT, incoming=incoming))


def test_what_was_asked_for_is_given_and_nothing_else() -> None:
    plain = _args()
    assert "-m 256M,maxmem=1024M,slots=2" in plain
    assert "virtio-balloon-pci" in plain
    assert "spapr-vscsi" not in plain
    assert "spapr-vlan" not in plain
    assert "-incoming" not in plain
    # Those who start it by hand have no monitor to let it run by.
    assert "-S" not in plain.split()
    assert "virtio-balloon-pci" not in _args(balloon="none")
    assert "-incoming defer" in _args(incoming=True)
    assert "-smp 4,sockets=2,cores=2,threads=1" in _args(vcpus=4, topology=(2, 2))
    assert "-smp 1,maxcpus=2" in _args(max_vcpus=2)


def test_disks() -> None:
    args = _args(disks=(DiskUse(DATA, read_only=True),))
    assert "driver=raw,node-name=node-data,read-only=on" in args
    assert "file.driver=file,file.filename=/run/disks/data/image" in args
    assert "scsi-hd,id=data,drive=node-data,bus=scsi.0,werror=report" in args
    shared = _args(disks=(DiskUse(Disk("data", 16, "/dev/vda", block_device=True)),))
    assert "file.driver=host_device" in shared
    assert "cache.direct=on" in shared


def test_a_card_and_its_tap() -> None:
    config = DomainConfig("u1", 256, nics=(Nic("52:54:00:00:00:0b"),))
    assert "spapr-vlan,id=nic0,netdev=net0,mac=52:54:00:00:00:0b" in _args(nics=config.nics)
    script = launch_script(["true"], config, SLOT)
    assert "brctl addif br0 slot1-0" in script
    assert script.index("set -e") < script.index("tunctl") < script.index("set +e") < script.index("true")


def test_an_nvram_that_is_kept_is_made_once() -> None:
    assert "pflash" not in _args()
    assert "if=pflash,format=raw,file=/run/nvram/u1" in _args(keeps_nvram=True)
    script = launch_script(["true"], DomainConfig("u1", 256, keeps_nvram=True), SLOT)
    assert "[ -e /run/nvram/u1 ] || truncate -s 65536 /run/nvram/u1" in script


def test_slots_are_given_and_given_back() -> None:
    drained: list[str] = []

    class _Machine:
        def drain(self, name: str) -> None:
            drained.append(name)

    host = Host("dom0", cast(Any, _Machine()), make_slots(2))
    first, second = host.take(), host.take()
    assert first != second
    assert set(drained) == {*first.ports, *second.ports}
    with pytest.raises(StepFailed, match="no ports left"):
        host.take()
    host.give_back(first)
    assert host.take() == first
