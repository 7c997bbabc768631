"""Flattened device trees: read, and compared with what was asked for."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from harness.flattree import BadTree, Node, parse
from harness.steps.domutree import Asked, differences
from harness.steps.layout import real_mode_area

NOP = struct.pack(">I", 4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def flatten(root: Node) -> bytes:
    """Return a tree as a blob of version 17, with a NOP before each property."""
    strings = bytearray()

    def body(node: Node) -> bytes:
        data = struct.pack(">I", 1) + _padded(node.name.encode() + b"\0")
        for name, value in node.properties.items():
            data += NOP + struct.pack(">3I", 3, len(value), len(strings)) + _padded(value)
            strings.extend(name.encode() + b"\0")
        return data + b"".join(body(child) for child in node.children) + struct.pack(">I", 2)

    structure = body(root) + struct.pack(">I", 9)
    head = 40 + 16
    at = head + len(structure)
    sizes = (len(strings), len(structure))
    header = struct.pack(">10I", 0xD00DFEED, at + len(strings), head, at, 40, 17, 16, 0, *sizes)
    return header + bytes(16) + structure + bytes(strings)


def cells(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _tree() -> Node:
    cpus = [Node(f"PowerPC,970@{number}", {"device_type": b"cpu\0"}) for number in range(2)]
    vdevice = [
        Node("vty@71000000"),
        Node("vty@71000001"),
        Node("v-scsi@71000003"),
        Node("l-lan@71000004", {"local-mac-address": bytes.fromhex("525400abcdef")}),
    ]
    chosen = {
        "bootargs": b"console=hvc0\0",
        "linux,initrd-start": cells(0, 0x1000000),
        "linux,initrd-end": cells(0, 0x1000400),
    }
    return Node(
        "",
        {
            "#address-cells": cells(2),
            "#size-cells": cells(2),
            "ibm,partition-name": b"u1\0",
            "compatible": b"qemu,pseries\0chrp\0",
            "model": b"IBM pSeries\0",
        },
        [
            Node("chosen", chosen),
            Node("cpus", {"#size-cells": cells(0)}, cpus),
            Node("memory@0", {"reg": cells(0, 0, 0, 256 << 20)}),
            Node("memory@10000000", {"reg": cells(0, 256 << 20, 0, 512 << 20)}),
            Node("vdevice", {}, vdevice),
        ],
    )


ASKED = Asked(
    name="u1",
    machine="pseries",
    model="^IBM",
    cpu="^PowerPC,970$",
    cpus=2,
    memory=768 << 20,
    arguments="console=hvc0",
    initrd=0x400,
    consoles=2,
    disks=True,
    macs=("52:54:00:ab:cd:ef",),
)


def test_a_tree_is_read_as_it_was_written() -> None:
    assert parse(flatten(_tree())) == _tree()


def test_values_are_read_as_what_the_caller_says_they_are() -> None:
    # Four bytes that could be text are a number when a number is asked for.
    node = Node("n", {"word": b"ABC\0"})
    assert (node.number("word"), node.text("word")) == (0x41424300, "ABC")


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "breaks off"),
        (b"\0" * 64, "magic 0x0"),
        (flatten(_tree())[:-8], "bytes expected"),
        (flatten(_tree()).replace(struct.pack(">I", 9), struct.pack(">I", 7), 1), "unknown token 0x7"),
    ],
)
def test_what_is_no_tree_is_told(blob: bytes, words: str) -> None:
    with pytest.raises(BadTree, match=words):
        parse(blob)


def test_a_missing_node_or_property_is_told() -> None:
    with pytest.raises(BadTree, match="/ has no node soc"):
        _tree().child("soc")
    with pytest.raises(BadTree, match="chosen has no property stdout"):
        _tree().child("chosen").value("stdout")


def test_a_tree_as_asked_has_no_differences() -> None:
    assert differences(_tree(), ASKED) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "u2"}, "name u1, asked u2"),
        ({"machine": "powernv"}, "compatible qemu,pseries, chrp, asked powernv"),
        ({"model": "^Apple"}, "model 'IBM pSeries', asked /^Apple/"),
        ({"cpus": 4}, "CPUs 2, asked 4"),
        ({"cpu": "POWER9"}, "CPU PowerPC,970@0, PowerPC,970@1, asked /POWER9/"),
        ({"memory": 256 << 20}, "memory 805306368, asked 268435456"),
        ({"arguments": "quiet"}, "kernel arguments console=hvc0, asked quiet"),
        ({"initrd": 0x401}, "initramfs of 1024, asked 1025"),
        ({"consoles": 1}, "consoles 2, asked 1"),
        ({"disks": False}, "SCSI hosts 1, asked 0"),
        ({"macs": ()}, "network cards ('52:54:00:ab:cd:ef',), asked ()"),
    ],
)
def test_each_difference_is_told(change: dict[str, object], words: str) -> None:
    assert differences(_tree(), replace(ASKED, **change)) == [words]  # type: ignore[arg-type]


def test_the_real_mode_area_is_the_memory_from_0_on() -> None:
    assert real_mode_area(_tree()) == 256 << 20
    with pytest.raises(BadTree, match="no memory begins at 0"):
        real_mode_area(Node("", {"#address-cells": cells(1), "#size-cells": cells(1)}))
