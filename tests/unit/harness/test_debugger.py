"""What is read from QEMU about registers, and what a scenario needs for a debugger."""

from __future__ import annotations

import pytest

from harness.host import make_slots
from harness.plan import GDB, Choice, plan
from harness.scenario import Scenario
from harness.steps.debugger import read_registers
from harness.verbs import StepFailed

QEMU = """\
CPU#0
NIP c000000000017f9c   LR c000000000017f98 CTR c000000000018010 XER 0000000020000000 CPU#0
MSR 8000000002002032 HID0 0000000060000000  HF 26102016 iidx 1 didx 1
TB 00000000 1676544964 DECR 1803749
GPR00 c000000000017f88 c000000000c33bb0 c00000000087a000 0000000000000000
GPR04 0000000000000001 4000000000000000 c00000003f000280 c000000000cb6000
GPR08 c000000000c3b908 0000000000000010 c000000000c21400 0000000000000001
GPR12 0000000024000820 c000000000cb6000 0000000000000000 00000000017bc7c8
GPR16 00000000017bcbd8 00000000017bc940 00000000017bd088 000000000180a478
GPR20 00000000017bd0b0 00000000017bd0b8 00000000017bc828 0000000001c4a000
GPR24 0000000000080000 c000000000c3bb70 0000000000000001 c000000000c3bae8
GPR28 c000000000c21480 c000000000c21400 0000000000000000 c000000000c3b970
CR 24000822  [ E  G  -  -  -  L  E  E  ]     RES 004@ffffffffffffffff
FPR00 000000000000000a 0000000000000000 0000000000000000 0000000000000000
 SRR0 c000000000017fe8  SRR1 800000000200a032    PVR 00000000003c0301 VRSAVE 0000000000000000
"""


def test_the_registers_that_qemu_prints() -> None:
    values = read_registers(QEMU)
    assert len(values) == 38
    assert values["pc"] == 0xC000000000017F9C
    assert values["lr"] == 0xC000000000017F98
    assert values["msr"] == 0x8000000002002032
    assert values["cr"] == 0x24000822
    assert values["xer"] == 0x20000000
    assert (values["r0"], values["r5"], values["r31"]) == (0xC000000000017F88, 1 << 62, 0xC000000000C3B970)


def test_registers_that_are_not_all_there_are_an_error() -> None:
    with pytest.raises(StepFailed, match="does not tell all registers"):
        read_registers(QEMU.replace("GPR28", "XXX28"))


def test_only_a_scenario_with_a_debugger_needs_its_image() -> None:
    scenario = Scenario(name="s", feature="f", summary="")
    choice = Choice("g5", None, "fixed")
    (without,) = plan([scenario], choice)
    (with_it,) = plan([scenario.model_copy(update={"debugger": True})], choice)
    assert set(with_it.images) - set(without.images) == {GDB}


def test_only_a_debugged_domu_has_a_port_for_it() -> None:
    (plain,), (debugged,) = make_slots(1), make_slots(1, debugged=True)
    assert set(debugged.ports) - set(plain.ports) == {"slot1.gdb"}
