"""What is read of a kernel's trace and of QEMU's, and held against each other."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from base.errors import UsageError
from harness.scenario import FOLDER, load_scenario
from harness.steps.hcalls import check_whole
from harness.tracing.events import KINDS, begin_script, choose, end_script, spans, table
from harness.tracing.picture import picture
from harness.tracing.qemu import calls, compare
from harness.tracing.tracer import traced
from harness.verbs import StepFailed

HCALL, EXIT, IRQ = KINDS["hcall"], KINDS["exit"], KINDS["irq"]
TRACE = """\
[000] - 90: hcall_exit: opcode=8 retval=0
[000] - 100: hcall_entry: opcode=88
[001] - 105: hcall_entry: opcode=4095
[000] - 130: hcall_exit: opcode=88 retval=0
[000] - 140: hcall_entry: opcode=88
[000] - 150: hcall_exit: opcode=88 retval=0
[000] - 160: hcall_entry: opcode=8
entries: 5
"""


def test_events_begin_and_end_on_their_own_cpu() -> None:
    found = spans(TRACE, [HCALL])
    assert [(span.name, span.cpu, span.begin, span.end) for span in found] == [
        ("H_PUT_TERM_CHAR", 0, 100, 130),
        ("0xfff", 1, 105, None),
        ("H_PUT_TERM_CHAR", 0, 140, 150),
        ("H_ENTER", 0, 160, None),
    ]


def test_exits_and_interrupts_have_names() -> None:
    text = (
        "[000] - 1: kvm_exit: exit=DATA_STORAGE \n[000] - 4: kvm_book3s_reenter: r=1 \n"
        "[000] - 5: irq_handler_entry: irq=36 name=virtio1\n[000] - 9: irq_handler_exit: irq=36 ret=handled\n"
    )
    assert [(span.kind, span.name) for span in spans(text, [EXIT, IRQ])] == [
        ("exit", "DATA_STORAGE"),
        ("irq", "virtio1"),
    ]


def test_the_table_counts_and_times() -> None:
    rows = table(spans(TRACE, [HCALL]), frequency=10)
    first = rows[0]
    assert (first.name, first.count, first.total, first.longest, first.mean) == ("H_PUT_TERM_CHAR", 2, 4.0, 3.0, 2.0)
    assert [row.count for row in rows] == [2, 1, 1]


def test_kinds_are_chosen_by_name() -> None:
    assert choose("irq,hcall,irq") == [IRQ, HCALL]
    with pytest.raises(UsageError, match=r"no kind of event 'hcal'; did you mean 'hcall'"):
        choose("hcal")


def test_scripts_name_both_ends_of_a_kind() -> None:
    for script, value in ((begin_script([HCALL]), 1), (end_script([HCALL]), 0)):
        assert f"echo {value} >events/powerpc/hcall_entry/enable" in script
        assert f"echo {value} >events/powerpc/hcall_exit/enable" in script


def test_qemu_may_see_more_before_and_after_but_not_between() -> None:
    log = "".join(f"7@1.2:kvm_handle_papr_hcall 0x{number:x}\n" for number in (0x58, 0x58, 0x54, 0x58, 0x114))
    both = compare(["H_ENTER", "H_PUT_TERM_CHAR", "H_GET_TERM_CHAR"], calls(log))
    assert (both.before, both.after) == (1, 1)
    assert both.counts == {"H_PUT_TERM_CHAR": 1, "H_GET_TERM_CHAR": 1}


@pytest.mark.parametrize(
    ("kernel", "qemu", "said"),
    [
        (["H_PUT_TERM_CHAR", "H_PUT_TERM_CHAR"], ["H_PUT_TERM_CHAR"], "no part of what QEMU did"),
        (["H_ENTER"], ["H_PUT_TERM_CHAR"], "no hypercall is in both"),
        (["H_EOI", "H_XIRR"], ["H_XIRR", "H_EOI"], "the kernel traced H_EOI 1, H_XIRR 1"),
    ],
)
def test_a_difference_is_told(kernel: list[str], qemu: list[str], said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        compare(kernel, qemu)


def test_a_trace_with_holes_is_refused() -> None:
    check_whole("entries: 5\noverrun: 0\ncommit overrun: 0\n")
    with pytest.raises(StepFailed, match="overrun: 7"):
        check_whole("overrun: 7\n")


def test_the_picture_has_a_lane_for_each_name_and_is_xml() -> None:
    text = picture("a <title>", spans(TRACE, [HCALL]), 10)
    drawn = ET.fromstring(text)
    titles = [node.text or "" for node in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(title.startswith("hcall H_PUT_TERM_CHAR: 2") for title in titles) == 2
    assert "nothing was traced" in picture("t", [], 10)


def test_domus_trace_from_their_start_unless_they_have_booted_before() -> None:
    def appended(name: str) -> list[str]:
        found = traced(load_scenario(FOLDER / f"{name}.yaml"), list(KINDS.values()))
        creates = [step for step in (*found.prepare, *found.steps) if step.verb == "create"]
        return [str(step.params["append"]) for step in creates]

    assert appended("modules") == [""]
    (words,) = appended("domu-boot")
    assert words.startswith("trace_event=powerpc:hcall_entry,powerpc:hcall_exit trace_clock=ppc-tb")
    own = load_scenario(FOLDER / "domu-boot.yaml")
    assert traced(own, [EXIT, IRQ]) == own
