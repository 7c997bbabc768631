"""What the verbs of modules, RTAS, topology, memory layout and hypercalls make of a guest's words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.domain import DomainConfig
from harness.hypervisor import find_hypervisor
from harness.steps.domains import CreateParams, parse_topology
from harness.steps.hcalls import TraceParams, traced
from harness.steps.layout import MIB, ram_ranges, shown
from harness.steps.modules import module_states
from harness.steps.rtas import ClockParams, Reading, clock_trouble, epoch, reading, told
from harness.steps.topology import Place, contradictions, cpu_list, place
from harness.toolstacks.qemu_args import kernel_arguments, memory_argument
from harness.verbs import StepFailed

DOMU = find_hypervisor("kvm-pr").domu


def test_modules_are_read_with_their_states() -> None:
    listing = "dummy 7416 0 - Live 0xc0003d0000047000\nslow 1 1 dummy, Loading 0x0\n"
    assert module_states(listing) == {"dummy": "Live", "slow": "Loading"}


def test_a_time_is_utc_and_must_be_one() -> None:
    assert epoch("2001-02-03 04:05:06") == 981173106
    assert told(981173106) == "2001-02-03 04:05:06"
    with pytest.raises(ValidationError):
        ClockParams(domain="u1", time="yesterday")


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ((1002, 1002, 50), (1005, 1005, 53), ""),
        ((990, 990, 50), (993, 993, 53), "RTAS shows 1970-01-01 00:16:30"),
        ((1002, 5000, 50), (1005, 5003, 53), "the device shows 1970-01-01 01:23:20 when RTAS shows"),
        ((1002, 1002, 50), (1002, 1002, 53), "it ticked 0 s in 3 s"),
        ((1002, 1002, 50), (1012, 1012, 53), "it ticked 10 s in 3 s"),
    ],
)
def test_what_is_wrong_with_a_clock_is_told(
    first: tuple[int, int, int], last: tuple[int, int, int], words: str
) -> None:
    assert clock_trouble(Reading(*first), Reading(*last), 1000).startswith(words)
    assert bool(clock_trouble(Reading(*first), Reading(*last), 1000)) == bool(words)


def test_a_reading_is_three_numbers() -> None:
    assert reading("981173109 981173110 12\n") == Reading(981173109, 981173110, 12)
    with pytest.raises(StepFailed, match="no clock can be read: cat: can't open"):
        reading("cat: can't open")


def test_a_topology_is_two_numbers() -> None:
    assert parse_topology("2 sockets x 1 core") == (2, 1)


def test_cpu_lists_are_those_of_the_kernel() -> None:
    assert cpu_list("0-1,4") == (0, 1, 4)
    assert place("3 1 3 2-3") == Place(3, 1, 3, (2, 3))
    with pytest.raises(StepFailed, match="no CPU's place: 3 1"):
        place("3 1")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["0 0 0 0-1", "1 0 1 0-1", "2 1 0 2"], ""),
        (["0 0 0 0", "1 0 1 0-1"], "CPU 0 shares its socket with (0,), of that socket are (0, 1)"),
        (["0 0 5 0-1", "1 0 5 0-1"], "two CPUs are the same core"),
    ],
)
def test_a_topology_that_contradicts_itself_is_told(lines: list[str], words: str) -> None:
    found = contradictions([place(line) for line in lines])
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_memory_in_iomem_is_read_with_its_holes() -> None:
    iomem = (
        "00000000-0fffffff : System RAM\n10000000-1fffffff : System RAM\n  00010000-00ffffff : Kernel code\n"
        "50000000-5fffffff : System RAM\n200080000000-2000ffffffff : pci@800000020000000\n"
    )
    assert ram_ranges(iomem) == [(0, 512 * MIB), (1280 * MIB, 1536 * MIB)]
    assert shown(ram_ranges(iomem)) == "0-512 MiB, 1280-1536 MiB"
    assert shown([]) == "no memory"


TRACE = "entry      5 88\nentry  2 4096\nexit      5 88\nexit 2 4096\nentries: 14\noverrun: 0\ndropped events: 0\n"


def test_hypercalls_are_counted_by_name() -> None:
    entries, leaves = traced(TRACE)
    assert dict(entries) == dict(leaves) == {"H_PUT_TERM_CHAR": 5, "0x1000": 2}


def test_a_trace_that_lost_events_is_told() -> None:
    with pytest.raises(StepFailed, match="not whole: overrun: 3"):
        traced(TRACE.replace("overrun: 0", "overrun: 3"))


def test_a_hypercall_must_have_a_name_that_is_known() -> None:
    values: dict[str, Any] = {"domain": "u1", "command": "true", "at-least": {"H_CEED": 1}}
    with pytest.raises(ValidationError, match="did you mean 'H_CEDE'"):
        TraceParams.model_validate(values)


def test_the_real_mode_area_needs_a_quarter_of_the_most_memory() -> None:
    assert memory_argument(DOMU, 256) == "256M,maxmem=1024M,slots=2"
    assert memory_argument(DOMU, 512) == "512M,maxmem=2048M,slots=2"
    assert memory_argument(DOMU, 512, real_mode_area=256) == "512M,maxmem=1024M,slots=2"
    assert memory_argument(DOMU, 256, end=1536) == "256M,maxmem=1536M,slots=2"


def test_a_domu_is_told_its_consoles_and_its_name() -> None:
    wanted = "console=hvc0 testbed.command=hvc1 testbed.hostname=u1"
    assert kernel_arguments(DOMU, DomainConfig("u1", 256)) == wanted
    assert kernel_arguments(DOMU, DomainConfig("u1", 256, append="quiet")) == f"{wanted} quiet"


def test_a_real_mode_area_is_written_with_hyphens() -> None:
    values: dict[str, Any] = {"domain": "u1", "memory": 512, "real-mode-area": 256}
    assert CreateParams.model_validate(values).real_mode_area == 256
