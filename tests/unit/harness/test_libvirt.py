"""What libvirt is told of a domU, and what `virsh` says."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from harness.domain import Disk, DiskUse, Domain, DomainConfig, Nic
from harness.host import Slot
from harness.hypervisor import find_hypervisor
from harness.toolstacks import virsh
from harness.toolstacks.libvirt import LibvirtToolstack
from harness.toolstacks.libvirt_xml import QEMU, domain_xml, plugged_disk
from harness.toolstacks.virt_install import install_arguments
from harness.verbs import StepFailed
from sim.qmp import Qmp
from sim.shell import Answer

DISK = Disk("data", 16, "/run/disks/data/image")
CONFIG = DomainConfig(
    name="u1", memory=256, vcpus=1, max_vcpus=2, append='quiet word="a<b"', disks=(DiskUse(DISK, read_only=True),),
    nics=(Nic("52:54:00:12:34:56"),),
)  # fmt: skip
# As Debian's virsh 9.0 printed it.
STATS = """Domain: 'u1'
  state.state=3
  state.reason=1
  balloon.current=196608
  balloon.maximum=262144
  vcpu.current=2
  vcpu.maximum=2
  vcpu.0.state=1
  vcpu.0.time=16530000000
  vcpu.1.state=1
  vcpu.1.time=470000000

Domain: 'u2'
  state.state=1
  balloon.current=262144
  vcpu.current=1
  vcpu.0.time=16010000000

"""
VERSION = """Compiled against library: libvirt 9.0.0
Using library: libvirt 9.0.0
Using API: QEMU 9.0.0
Running hypervisor: QEMU 7.2.22
"""
NODE = "CPU model:           ppc64le\nCPU(s):              4\nCPU frequency:       1000 MHz\n"
MEMORY = "total  :              4128384 KiB\nfree   :              1982976 KiB\n"


def parsed(config: DomainConfig) -> ET.Element:
    return ET.fromstring(domain_xml(find_hypervisor("kvm-hv-libvirt").domu, config, Slot("slot2")))


def test_a_domu_is_told_as_it_was_asked_for() -> None:
    found = parsed(CONFIG)
    assert (found.findtext("name"), found.findtext("memory")) == ("u1", "256")
    vcpu = found.find("vcpu")
    assert vcpu is not None and (vcpu.text, vcpu.get("current")) == ("2", "1")
    words = find_hypervisor("kvm-hv-libvirt").domu.kernel_args
    assert "initcall_blacklist=" in words
    assert (found.findtext("os/cmdline") or "").endswith(f'testbed.hostname=u1 {words} quiet word="a<b"')
    disk = found.find("devices/disk")
    assert disk is not None and disk.find("readonly") is not None
    assert [element.get("file") for element in disk.findall("source")] == ["/run/disks/data/image"]
    assert [element.get("address") for element in found.findall("devices/interface/mac")] == ["52:54:00:12:34:56"]
    paths = [element.get("path") for element in found.findall("devices/serial/source")]
    assert paths == ["/dev/virtio-ports/slot2.console", "/dev/virtio-ports/slot2.command"]


def test_a_domu_without_disks_has_no_host_for_them() -> None:
    """But one for what is plugged in, which a row of the tree does not count."""
    hosts = [
        [found.get("model") for found in parsed(config).findall("devices/controller[@type='scsi']")]
        for config in (CONFIG, replace(CONFIG, disks=()))
    ]
    assert hosts == [["ibmvscsi", "virtio-scsi"], ["virtio-scsi"]]


def test_what_libvirt_has_no_word_for_is_told_to_qemu() -> None:
    words = [element.get("value") for element in parsed(CONFIG).iter(f"{{{QEMU}}}arg")]
    assert words[0] == "-machine" and "ic-mode=xics" in str(words[1]) and "pseries" not in str(words[1])
    assert "pipe,id=witness,path=/dev/virtio-ports/slot2.qmp" in words


def test_a_name_is_always_the_same_domain() -> None:
    assert parsed(CONFIG).findtext("uuid") == parsed(CONFIG).findtext("uuid")
    assert parsed(CONFIG).findtext("uuid") != parsed(replace(CONFIG, name="u2")).findtext("uuid")


@pytest.mark.parametrize(
    ("balloon", "model", "deflates"),
    [("plain", "virtio", None), ("none", "none", None), ("deflate-on-oom", "virtio", "on")],
)
def test_its_balloon(balloon: str, model: str, deflates: str | None) -> None:
    element = parsed(replace(CONFIG, balloon=balloon)).find("devices/memballoon")  # type: ignore[arg-type]
    assert element is not None and (element.get("model"), element.get("autodeflate")) == (model, deflates)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"hole": (1280, 256)}, "hole"),
        ({"real_mode_area": 256}, "real-mode-area"),
        ({"keeps_nvram": True}, "keeps-nvram"),
    ],
)
def test_what_it_cannot_have_is_refused(asked: dict[str, object], name: str) -> None:
    with pytest.raises(StepFailed, match=f"no domU a {name}"):
        parsed(replace(CONFIG, **asked))  # type: ignore[arg-type]


def test_plugged_disks_are_the_second_controllers() -> None:
    text, name = plugged_disk(DISK, 1)
    assert name == "sdi" and 'dev="sdi"' in text
    with pytest.raises(StepFailed, match="at most 14"):
        plugged_disk(DISK, 7)


def test_domains_are_listed() -> None:
    first, second = virsh.rows(STATS)
    assert (first.name, first.state, first.memory, first.vcpus, first.cpu_time) == ("u1", "paused", 192, 2, 17.0)
    assert (second.name, second.state) == ("u2", "running")
    assert virsh.rows("") == []
    with pytest.raises(StepFailed, match=r"does not tell 'vcpu\.current' of u2"):
        virsh.rows(STATS.replace("vcpu.current=1", ""))


def test_the_hypervisor_is_described() -> None:
    info = virsh.info(VERSION, NODE, MEMORY)
    assert (info.name, info.cpus, info.free) == ("KVM, QEMU 7.2.22, libvirt 9.0.0", 4, 1936)
    with pytest.raises(StepFailed, match="does not describe"):
        virsh.info(VERSION, "", MEMORY)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("Domain u1 defined\nerror: Failed to start\nerror: no such file\n", "Failed to start; no such file"),
        ("\n", "it said nothing"),
        ("sh: virsh: not found\n", "sh: virsh: not found"),
    ],
)
def test_its_errors_are_told(output: str, told: str) -> None:
    assert virsh.said(Answer(1, output)) == told


def test_each_reset_of_the_guest_is_told_once(tmp_path: Path) -> None:
    qmp = Qmp("u1", tmp_path / "u1.jsonl", began=0.0)
    reset = {"event": "RESET", "data": {"guest": False, "reason": "host-qmp-system-reset"}, "timestamp": {"seconds": 1}}
    theirs = {"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}, "timestamp": {"seconds": 2}}
    off = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}, "timestamp": {"seconds": 3}}
    qmp.events += [reset, theirs, reset, off]
    domain = cast(Domain, SimpleNamespace(name="u1", qmp=qmp))
    toolstack = LibvirtToolstack()

    async def told() -> list[str]:
        return [await toolstack.stopped(domain) for _ in range(2)]

    assert asyncio.run(told()) == ["reset", "power-off"]


def test_virt_install_is_asked_for_what_the_description_would_say() -> None:
    domu = find_hypervisor("kvm-hv-libvirt").domu
    config = replace(CONFIG, max_vcpus=0, balloon="none")
    args = install_arguments(domu, config, Slot("slot2"))
    asked = dict(itertools.pairwise(args))
    assert (asked["--memory"], asked["--vcpus"]) == ("256", "1")
    assert asked["--boot"].startswith(
        "kernel=/boot/domu/vmlinux,initrd=/boot/domu/initramfs.cpio,kernel_args='console=hvc0"
    )
    assert asked["--disk"].startswith("path=/run/disks/data/image,format=raw,bus=scsi,driver.error_policy=report,")
    assert asked["--disk"].endswith(",readonly=on")
    assert asked["--network"] == "bridge=br0,model=spapr-vlan,mac=52:54:00:12:34:56"
    assert asked["--memballoon"] == "model=none"
    assert "pipe,source.path=/dev/virtio-ports/slot2.command,target.type=spapr-vio-serial,target.port=1" in args
    # What virt-install has no option for goes to QEMU as it is, in both.
    qemu = parsed(config).findall("./{*}commandline/{*}arg")
    assert args[-1] == f"--qemu-commandline={' '.join(each.attrib['value'] for each in qemu)}"
    bare = install_arguments(domu, DomainConfig("u2", 256), Slot("slot2"))
    assert ("--disk none" in " ".join(bare), "--network none" in " ".join(bare)) == (True, True)
    with pytest.raises(StepFailed, match="u1: `install` knows no max-vcpus"):
        install_arguments(domu, CONFIG, Slot("slot2"))
