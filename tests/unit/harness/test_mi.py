"""gdb's machine interface, read."""

from __future__ import annotations

import pytest

from harness.mi import NotMi, Record, parse

STOPPED = (
    '*stopped,reason="breakpoint-hit",disp="keep",bkptno="1",frame={addr="0xc0000000000e9a50",func="sys_sethostname",'
    'args=[],arch="powerpc:common64"},thread-id="1",stopped-threads="all"'
)
STACK = '7^done,stack=[frame={level="0",func="a"},frame={level="1",func="b"}]\n'


def test_a_stop() -> None:
    record = parse(STOPPED)
    assert record is not None
    assert (record.kind, record.name, record.token) == ("*", "stopped", "")
    assert record.values["bkptno"] == "1"
    assert record.values["frame"] == {
        "addr": "0xc0000000000e9a50",
        "func": "sys_sethostname",
        "args": [],
        "arch": "powerpc:common64",
    }


def test_a_list_of_results_is_a_list() -> None:
    record = parse(STACK)
    assert record is not None
    assert (record.kind, record.name, record.token) == ("^", "done", "7")
    assert [frame["func"] for frame in record.values["stack"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(gdb) \n", None),
        ("\n", None),
        ("12^running\n", Record("^", "running", "12")),
        ('^error,msg="No symbol \\"x\\""', Record("^", "error", values={"msg": 'No symbol "x"'})),
        ('~"a\\tb\\303\\251\\\\n\\n"\n', Record("~", text="a\tb\xc3\xa9\\n\n")),
        ('=x,list=["r0","",{}],none=[]', Record("=", "x", values={"list": ["r0", "", {}], "none": []})),
        ("warning: of a library\n", Record(text="warning: of a library")),
    ],
)
def test_lines(line: str, expected: Record | None) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize("line", ["^done,", '^done,a="b', "^done,a=[", '^done,a="b"c="d"', '~"open', "*stopped,{}"])
def test_a_damaged_record_is_an_error(line: str) -> None:
    with pytest.raises(NotMi):
        parse(line)
