"""A debugger that does not do its work is told, and whatever happens, no gdb is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from base import owner
from harness.runspec import RunSpec
from harness.steps import debugger
from harness.worker import run_cell
from results.model import Result

Make = Callable[..., RunSpec]
MFLR = 0x7C0802A6  # how a function of the kernel begins
DOM0 = "debugger: true\nprepare: [boot-dom0]\nsteps:\n"


@pytest.fixture
def result_of(tmp_path: Path) -> Callable[[RunSpec], Result]:
    """Return what runs a cell and sees to it that nothing of it is left: no process, no socket."""

    def run(spec: RunSpec) -> Result:
        directory = tmp_path / "cell"
        directory.mkdir()
        result = run_cell(spec, directory)
        mine = owner.environment()[owner.MARK]
        assert [pid for pid, mark in owner.marked().items() if mark == mine] == []
        assert [path.suffix for path in (directory / "gdb").iterdir()] == [".mi"]
        return result

    return run


def test_a_function_that_nobody_calls(spec_for: Make, result_of: Callable[[RunSpec], Result]) -> None:
    step = "  - debugger-breaks: {domain: dom0, at: sys_sethostname, command: uname -a}\n"
    result = result_of(spec_for(DOM0 + step))
    assert (result.raw, result.status) == ("fail", "no")
    assert "dom0 ran `uname -a` and never came to sys_sethostname" in result.message


def test_a_function_that_there_is_not(spec_for: Make, result_of: Callable[[RunSpec], Result]) -> None:
    result = result_of(spec_for(DOM0 + "  - debugger-breaks: {domain: dom0, at: no_such_function}\n"))
    assert result.raw == "fail"
    assert "no breakpoint at no_such_function" in result.message


def test_another_caller_than_the_one_that_is_expected(spec_for: Make, result_of: Callable[[RunSpec], Result]) -> None:
    step = "  - debugger-breaks: {domain: dom0, callers: [kthread]}\n"
    result = result_of(spec_for(DOM0 + step))
    assert result.raw == "fail"
    assert "dom0 is in sys_sethostname < system_call_exception" in result.message
    assert "not called by kthread" in result.message


def test_memory_that_somebody_else_writes_as_well(spec_for: Make, result_of: Callable[[RunSpec], Result]) -> None:
    # Without a process for each: what gdb writes lasts no longer than some microseconds of the domain's time.
    name = "/proc/sys/kernel/hostname"
    meddle = f"(while :; do echo meddler >{name}; done) & until grep -q meddler {name}; do usleep 1000; done"
    steps = f"  - run: {{domain: dom0, command: '{meddle}'}}\n  - debugger-memory: dom0\n"
    result = result_of(spec_for(DOM0 + steps))
    assert result.raw == "fail"
    # Found out when gdb looks for the name, or when the domain is asked for it.
    assert "host name" in result.message


def test_registers_that_differ(
    spec_for: Make, result_of: Callable[[RunSpec], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = debugger.read_registers
    monkeypatch.setattr(debugger, "read_registers", lambda text: {**read(text), "r17": 0x17171717})
    result = result_of(spec_for(DOM0 + "  - debugger-registers: dom0\n"))
    assert result.raw == "fail"
    assert "gdb's registers of dom0 are not QEMU's: r17 is 0x" in result.message
    assert "not 0x17171717" in result.message


def test_a_step_that_goes_elsewhere(
    spec_for: Make, result_of: Callable[[RunSpec], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debugger, "next_pc", lambda word, registers: registers["pc"] + (8 if word == MFLR else 4))
    result = result_of(spec_for(DOM0 + "  - debugger-steps: dom0\n"))
    assert result.raw == "fail"
    assert "dom0: step 1, 0x7c0802a6 at 0x" in result.message
    assert "(end-stepping-range), not to 0x" in result.message


def test_the_symbols_of_another_kernel(spec_for: Make, result_of: Callable[[RunSpec], Result]) -> None:
    steps = """\
  - create: u1
  - boots: u1
steps:
  - debugger-registers: u1
"""
    spec = spec_for(DOM0.replace("[boot-dom0]\nsteps:", "\n  - boot-dom0") + steps)
    assert spec.debugger is not None
    other = spec_for(DOM0 + "  - answers: dom0\n", kernel="stock").debugger
    assert other is not None
    images = spec.debugger.model_copy(update={"domu_kernel": other.domu_kernel})
    result = result_of(spec.model_copy(update={"debugger": images}))
    assert (result.raw, result.status) == ("fail", "no")
    assert "gdb has the symbols of `Linux version" in result.message
    assert "-stock (" in result.message
    assert "-fixed (" in result.message


STOPS = {"dom0": 12, "u1": 1}


@pytest.mark.parametrize(("domain", "worker"), [("dom0", "dom0"), ("u1", "u1"), ("dom0", "u1")])
def test_a_domain_that_is_stopped_in_a_program(
    domain: str, worker: str, spec_for: Make, result_of: Callable[[RunSpec], Result], tmp_path: Path
) -> None:
    """To dom0 its guest is one too, but for the segments that it runs in."""
    domu = "  - create: u1\n  - boots: u1\n" if worker == "u1" else ""
    busy = "while :; do :; done >/dev/null 2>&1 &"
    # Where a stop lands is chance: on a busy host a timer's interrupt has often come meanwhile.
    stops = f"  - debugger-memory: {domain}\n" * STOPS[domain]
    steps = f"""\
  - run: {{domain: {worker}, command: '{busy}'}}
steps:
  - debugger-registers: {domain}
{stops}  - debugger-breaks: {domain}
  - debugger-steps: {{domain: {domain}, count: 4}}
"""
    spec = spec_for(DOM0.replace("[boot-dom0]\nsteps:\n", "\n  - boot-dom0\n") + domu + steps)
    result = result_of(spec)
    assert result.raw == "pass", result.message
    if domain == "dom0":
        assert "$msr = " in (tmp_path / "cell" / "gdb" / "dom0.mi").read_text()  # it was stopped in the program


def test_a_scenario_that_does_not_ask_for_a_debugger(spec_for: Make, tmp_path: Path) -> None:
    directory = tmp_path / "plain"
    directory.mkdir()
    spec = spec_for(DOM0.replace("debugger: true\n", "") + "  - debugger-registers: dom0\n")
    result = run_cell(spec, directory)
    assert result.raw == "fail"
    assert "no debugger is at hand" in result.message
