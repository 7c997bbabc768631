"""Rows of the matrix whose feature is taken away: the scenario's own steps fail, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runspec import RunSpec
from harness.worker import run_cell
from results.model import Result

Make = Callable[..., RunSpec]
# A toolstack that adds arguments of its own; of two of a kind QEMU takes the last.
SLY = """\
  - run:
      domain: dom0
      command: |
        set -e
        cd /usr/bin
        mv qemu-system-ppc64 real
        cat >qemu-system-ppc64 <<'END'
        #!/bin/sh
        exec /usr/bin/real "$@" ARGUMENTS
        END
        chmod +x qemu-system-ppc64
"""


@pytest.fixture
def result_of(spec_for: Make, tmp_path: Path) -> Callable[[str], Result]:
    """Return a function that runs a scenario, given below its `domus`, on the fastest board."""

    def run(steps: str) -> Result:
        directory = tmp_path / "cell"
        directory.mkdir()
        result = run_cell(spec_for(steps, platform="pseries-970", firmware="vof"), directory)
        assert (result.raw, result.status) == ("fail", "no"), result.message
        return result

    return run


def _steps(*steps: str, create: str = "u1", before: str = "") -> str:
    ready = f"prepare:\n  - boot-dom0\n{before}  - create: {create}\n  - boots: u1\n"
    return ready + "steps:\n" + "".join(f"  - {step}\n" for step in steps)


def test_a_kernel_that_loads_no_modules(result_of: Callable[[str], Result]) -> None:
    create = "{domain: u1, append: sysctl.kernel.modules_disabled=1}"
    result = result_of(_steps("loads-module: {domain: u1, module: dummy}", create=create))
    assert "u1 does not take dummy in: insmod: can't insert" in result.message
    assert "ermission" in result.message or "not permitted" in result.message


def test_a_kernel_that_takes_modules_of_others(result_of: Callable[[str], Result]) -> None:
    # What insmod is given is the module that fits, whatever the step asks for.
    trick = "cd /sbin && rm insmod && echo exec busybox insmod /lib/modules/dummy.ko >insmod && chmod +x insmod"
    before = f"  - boots: u1\n  - run: {{domain: u1, command: '{trick}'}}\n"
    steps = _steps("refuses-foreign-module: {domain: u1, module: dummy}").replace("  - boots: u1\n", before)
    assert "u1 has loaded a module of another kernel" in result_of(steps).message


def test_a_clock_that_is_not_set(result_of: Callable[[str], Result]) -> None:
    trick = "cd /sbin && rm hwclock && echo true >hwclock && chmod +x hwclock"
    before = f"  - boots: u1\n  - run: {{domain: u1, command: '{trick}'}}\n"
    steps = _steps("sets-clock: {domain: u1, time: '2001-02-03 04:05:06'}").replace("  - boots: u1\n", before)
    assert "u1's clock was set to 2001-02-03 04:05:06, but RTAS shows 20" in result_of(steps).message


def test_an_nvram_that_forgets(result_of: Callable[[str], Result]) -> None:
    # Another process is another machine: its NVRAM is empty.
    again = "  - destroy: u1\n  - create: u1\n  - boots: u1\n"
    steps = _steps("nvram-is-kept: u1").replace("steps:\n", f"  - writes-nvram: u1\n{again}steps:\n")
    result = result_of(steps)
    assert "to its NVRAM at 0x" in result.message
    assert f"reads {'00' * 64}" in result.message


def test_a_device_tree_that_is_not_as_asked(result_of: Callable[[str], Result]) -> None:
    sly = "-append 'console=hvc0 testbed.command=hvc1 sly' -device spapr-vscsi -initrd /boot/domu/other"
    copy = (
        "  - run: {domain: dom0, command: 'cd /boot/domu && { cat initramfs.cpio; head -c 512 /dev/zero; } >other'}\n"
    )
    result = result_of(_steps("tree-as-asked: u1", before=copy + SLY.replace("ARGUMENTS", sly)))
    assert "kernel arguments console=hvc0 testbed.command=hvc1 sly, asked console=hvc0" in result.message
    assert "SCSI hosts 1, asked 0" in result.message
    found, asked = result.message.partition("initramfs of ")[2].partition(";")[0].split(", asked ")
    assert int(found) == int(asked) + 512


def test_cpus_in_one_socket(result_of: Callable[[str], Result]) -> None:
    sly = SLY.replace("ARGUMENTS", "-smp 4,sockets=1,cores=4,threads=1")
    topology = "topology: 2 sockets x 2 cores"
    create = f"{{domain: u1, vcpus: 4, {topology}}}"
    result = result_of(_steps(f"sees-topology: {{domain: u1, {topology}}}", create=create, before=sly))
    assert "u1 must see 2 sockets x 2 cores, and sees 4 in socket 0" in result.message


def test_memory_beyond_the_real_mode_area_that_is_not_used(result_of: Callable[[str], Result]) -> None:
    create = "{domain: u1, memory: 512, real-mode-area: 256, append: mem=256M}"
    result = result_of(_steps("real-mode-area-ends: u1", create=create))
    assert "u1's kernel has 0-256 MiB, given were 512 MiB from 0" in result.message


def test_memory_without_a_hole(result_of: Callable[[str], Result]) -> None:
    result = result_of(
        _steps("uses-memory-behind-hole: u1", create="{domain: u1, hole: [1280, 256], append: mem=256M}")
    )
    assert "u1's kernel has 0-256 MiB, given were 0-256 MiB, 1280-1536 MiB" in result.message


def test_hypercalls_that_work_does_not_take(result_of: Callable[[str], Result]) -> None:
    step = "traces-hcalls: {domain: u1, command: ping -c 3 127.0.0.1, at-least: {H_SEND_LOGICAL_LAN: 3}}"
    result = result_of(_steps(step))
    assert "0 H_SEND_LOGICAL_LAN at `ping -c 3 127.0.0.1`, expected at least 3" in result.message


def test_a_kernel_that_does_not_trace(result_of: Callable[[str], Result]) -> None:
    off = "  - run: {domain: u1, command: umount /sys/kernel/debug/tracing; umount /sys/kernel/debug}\n"
    step = "traces-hcalls: {domain: u1, command: 'true', at-least: {H_ENTER: 1}}"
    result = result_of(_steps(step).replace("steps:\n", f"{off}steps:\n"))
    assert "u1 traces no hypercalls at `true`" in result.message
