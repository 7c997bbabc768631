"""What `xl` is told, and what it prints."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from harness.domain import Disk, DiskUse, DomainConfig, Nic
from harness.host import Host, make_slots
from harness.hypervisor import find_hypervisor
from harness.toolstacks.cores import XenCore, section_names, xen_core
from harness.toolstacks.xl import XlToolstack
from harness.toolstacks.xl_config import configuration, device, plugged
from harness.toolstacks.xl_domain import ask, must
from harness.toolstacks.xl_tables import Vcpu, domain_rows, hypervisor_info, vcpu_rows
from harness.verbs import StepFailed
from sim.deadline import Usage
from sim.errors import HostStarved
from sim.shell import Answer

if TYPE_CHECKING:
    from harness.cell import Cell
    from sim.machine import Machine

DISK = Disk("data", 16, "/run/disks/data/image")
CONFIG = DomainConfig(
    name="u1", memory=256, vcpus=1, max_vcpus=2, append='quiet word="a b"', disks=(DiskUse(DISK, read_only=True),),
    nics=(Nic("52:54:00:12:34:56"),),
)  # fmt: skip
# As Debian's xl 4.17 printed it.
LIST = """Name                                        ID   Mem VCPUs	State	Time(s)
Domain-0                                     0  1400     2     r-----     149.4
u1                                           2   256     1     --p---       0.0
u2                                          12   512     2     -b----      26.6
"""
VCPUS = """Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
u1                                   2     1    -   --p       0.0  all / all
u1                                   2     0    1   r--      26.6  1 / all
"""
INFO = """host                   : dom0
nr_cpus                : 2
free_memory            : 1382
xen_version            : 4.17.5
"""


def lines(config: DomainConfig, *, disks: bool = True) -> dict[str, str]:
    text = configuration(find_hypervisor("xen-x86").domu, config, disks=disks)
    return dict(line.split(" = ", 1) for line in text.splitlines())


def test_a_domu_is_told_as_it_was_asked_for() -> None:
    found = lines(CONFIG)
    assert found["name"] == '"u1"'
    assert (found["memory"], found["vcpus"], found["maxvcpus"]) == ("256", "1", "2")
    assert found["disk"] == '["format=raw,vdev=xvda,access=ro,target=/run/disks/data/image"]'
    assert found["vif"] == '["mac=52:54:00:12:34:56,bridge=br0"]'
    assert found["extra"].endswith(r'testbed.hostname=u1 quiet word=\"a b\""')


def test_its_second_channel_is_the_one_that_libxl_gives_it() -> None:
    assert lines(CONFIG)["channel"].endswith('"name=org.testbed.command,connection=pty"]')


def test_its_disks_are_attached_later() -> None:
    assert lines(CONFIG, disks=False)["disk"] == "[]"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"topology": (2, 2)}, "topology"),
        ({"hole": (1280, 256)}, "hole"),
        ({"real_mode_area": 256}, "real-mode-area"),
        ({"balloon": "deflate-on-oom"}, "balloon"),
        ({"keeps_nvram": True}, "keeps-nvram"),
    ],
)
def test_what_a_pv_domu_cannot_have_is_refused(asked: dict[str, object], name: str) -> None:
    with pytest.raises(StepFailed, match=f"no {name}"):
        lines(replace(CONFIG, **asked))  # type: ignore[arg-type]


def test_plugged_disks_come_behind_those_from_the_start() -> None:
    words, name = plugged(DISK, 1)
    assert name == "xvdj"
    assert "vdev=xvdj,access=rw" in words
    with pytest.raises(StepFailed, match="at most 26"):
        device(26)


def test_domains_are_listed_without_dom0() -> None:
    rows = domain_rows(LIST)
    assert [(row.name, row.memory, row.vcpus, row.state, row.cpu_time) for row in rows] == [
        ("u1", 256, 1, "--p---", 0.0),
        ("u2", 512, 2, "-b----", 26.6),
    ]


def test_vcpus_come_by_number_with_where_they_ran() -> None:
    assert vcpu_rows(VCPUS) == [Vcpu(0, 1, 2660), Vcpu(1, None, 0)]


def test_the_hypervisor_is_described() -> None:
    info = hypervisor_info(INFO)
    assert (info.name, info.cpus, info.free) == ("Xen 4.17.5", 2, 1382)


@pytest.mark.parametrize("output", ["", "libxl: error: not running Xen\n"])
def test_what_is_no_table_is_said(output: str) -> None:
    with pytest.raises(StepFailed, match="xl printed no table"):
        domain_rows(output)
    with pytest.raises(StepFailed, match="does not say what is asked for"):
        hypervisor_info(output)


NAMES_AT = 1 << 30


def _dump(machine: int = 62, frames: str = ".xen_p2m") -> tuple[bytes, bytes]:
    """Return the head of a dump as Xen writes them, the headers of its sections, and their names, its end."""
    names = b"\0.shstrtab\0" + frames.encode() + b"\0.xen_pages\0"
    at = {name: names.index(name.encode()) for name in (".shstrtab", frames, ".xen_pages")}
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 4, machine, 1, 0, 0, 64, 0, 64, 0, 0, 64, 4, 1)
    sections = [
        (0, 0, 0, 0),
        (at[".shstrtab"], 3, NAMES_AT, len(names)),
        (at[frames], 1, 8192, 16 * 65536),
        (at[".xen_pages"], 1, 1 << 21, 4096 * 65536),
    ]
    body = b"".join(struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, where, size, 0, 0, 1, 0)
                    for name, kind, where, size in sections)  # fmt: skip
    return head + body, names


def test_a_dump_of_xens_says_where_its_frames_are() -> None:
    head, names = _dump()
    assert section_names(head) == (NAMES_AT, len(names))
    assert xen_core(head, names) == XenCore(frames=8192, count=65536, pages=1 << 21)


@pytest.mark.parametrize(
    "dump", [_dump(machine=21), _dump(frames=".xen_pfn"), (b"not an ELF file at all", b""), (_dump()[0][:128], b"")]
)
def test_what_is_no_dump_of_a_pv_domu_is_told(dump: tuple[bytes, bytes]) -> None:
    with pytest.raises(StepFailed, match=r"no core of a paravirtualised domU|no ELF file"):
        xen_core(*dump)


class BusyDom0:
    """A dom0 whose `xl` fails with certain words, while its vCPUs run for a while and wait for the host."""

    def __init__(self, output: str, ran: float, starved: float) -> None:
        self.name = "dom0"
        self.machine = self
        self.command = self
        self.usage = Usage(5.0, 7.0)
        self._answer, self._used = Answer(1, output), Usage(5.0 + ran, 7.0 + starved)

    async def run(self, script: str) -> Answer:
        assert "xl create" in script
        self.usage = self._used
        return self._answer

    def drain(self, port: str) -> None:
        pass


GAVE_UP = (
    "libxl: error: libxl_dm.c:3381:device_model_postconfig_done: Domain 2:Post DM startup configs failed, rc=-9",
    "libxl: error: libxl_create.c:1896:domcreate_devmodel_started: Domain 2:device model did not start: -9\nlibxl: x",
    "libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of vif-bridge online because of timeout",
)


@pytest.mark.parametrize("output", GAVE_UP)
def test_a_libxl_that_gives_up_on_a_busy_host_says_nothing_about_xen(output: str) -> None:
    with pytest.raises(HostStarved, match=r"3\.0 s of CPU used, 9\.0 s waited for one.*libxl: error"):
        asyncio.run(ask(cast("Host", BusyDom0(output, 3, 9)), "xl create /run/u1.cfg"))


@pytest.mark.parametrize(
    ("output", "starved"), [(GAVE_UP[0], 2), ("libxl: error: Domain 2:no such file, rc=-98", 9), ("out of memory", 9)]
)
def test_what_else_fails_is_xen_s(output: str, starved: float) -> None:
    host = cast("Host", BusyDom0(output, 3, starved))
    assert asyncio.run(ask(host, "xl create /run/u1.cfg")).status == 1
    with pytest.raises(StepFailed, match="ended with 1"):
        asyncio.run(must(host, "xl create /run/u1.cfg"))


@pytest.mark.parametrize(("starved", "error"), [(9, HostStarved), (2, StepFailed)])
def test_a_domu_that_was_not_made_leaves_its_ports_to_another(starved: float, error: type[Exception]) -> None:
    host = Host("dom0", cast("Machine", BusyDom0(GAVE_UP[0], 3, starved)), make_slots(2))
    cell = cast("Cell", SimpleNamespace(hypervisor=find_hypervisor("xen-x86")))
    with pytest.raises(error):
        asyncio.run(XlToolstack().create(cell, CONFIG, host))
    assert sorted(host.free) == ["slot1", "slot2"]
