"""Reads a flattened device tree, the blob that a kernel is booted with (Devicetree Specification 0.4, chapter 5).

By hand, for want of a sound library: `fdt` stops at QEMU's trees (it knows no NOP) and guesses the types of values,
`pylibfdt` must be compiled against Python's headers on every machine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MAGIC = 0xD00DFEED
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9
CELL = 4


class BadTree(ValueError):
    """The bytes are no flattened device tree, or not a whole one."""


@dataclass
class Node:
    """A node: its name with the unit address, its properties as they are, its children."""

    name: str
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def child(self, name: str) -> Node:
        """Return a child by its whole name. Raises BadTree."""
        for node in self.children:
            if node.name == name:
                return node
        raise BadTree(f"{self.name or '/'} has no node {name}")

    def called(self, name: str) -> list[Node]:
        """Return the children of a name, whatever their unit addresses."""
        return [node for node in self.children if node.name.partition("@")[0] == name]

    def value(self, name: str) -> bytes:
        """Return a property's bytes. Raises BadTree."""
        if name not in self.properties:
            raise BadTree(f"{self.name or '/'} has no property {name}")
        return self.properties[name]

    def text(self, name: str) -> str:
        """Return a property that is one string. Raises BadTree."""
        return "".join(self.texts(name)[:1])

    def texts(self, name: str) -> list[str]:
        """Return a property that is a list of strings. Raises BadTree."""
        return self.value(name).decode(errors="replace").rstrip("\0").split("\0")

    def number(self, name: str) -> int:
        """Return a property that is one number, of as many cells as it has. Raises BadTree."""
        return int.from_bytes(self.value(name), "big")

    def ranges(self, parent: Node, name: str = "reg") -> list[tuple[int, int]]:
        """Return a property of pairs of an address and a size, in cells as the parent says. Raises BadTree."""
        address, size = (CELL * parent.number(f"#{word}-cells") for word in ("address", "size"))
        value = self.value(name)
        if len(value) % (address + size):
            raise BadTree(f"{self.name}: {name} is not made of {address} + {size} bytes")
        return [
            (int.from_bytes(value[at : at + address], "big"), int.from_bytes(value[at + address :][:size], "big"))
            for at in range(0, len(value), address + size)
        ]


def parse(blob: bytes) -> Node:
    """Return the root of a flattened tree. Raises BadTree."""
    try:
        magic, size, structure, strings = struct.unpack_from(">4I", blob)
        if magic != MAGIC or size > len(blob):
            raise BadTree(f"magic {magic:#x}, {size} bytes expected, {len(blob)} there")
        root: list[Node] = []
        open_nodes: list[Node] = []
        for kind, name, value in _tokens(blob, structure, strings):
            if kind == BEGIN_NODE:
                node = Node(name)
                (open_nodes[-1].children if open_nodes else root).append(node)
                open_nodes.append(node)
            elif kind == END_NODE:
                open_nodes.pop()
            else:
                open_nodes[-1].properties[name] = value
    except (struct.error, IndexError) as error:
        raise BadTree(f"it breaks off: {error}") from error
    if len(root) != 1 or open_nodes:
        raise BadTree(f"{len(root)} roots, {len(open_nodes)} nodes without an end")
    return root[0]


def _tokens(blob: bytes, at: int, strings: int) -> Iterator[tuple[int, str, bytes]]:
    while True:
        (kind,) = struct.unpack_from(">I", blob, at)
        at += CELL
        if kind == END:
            return
        if kind == BEGIN_NODE:
            name = _string(blob, at)
            at += len(name) + 1
            yield kind, name, b""
        elif kind == END_NODE:
            yield kind, "", b""
        elif kind == PROP:
            length, offset = struct.unpack_from(">2I", blob, at)
            at += 2 * CELL
            if at + length > len(blob):
                raise BadTree(f"a property of {length} bytes goes beyond the end")
            yield kind, _string(blob, strings + offset), blob[at : at + length]
            at += length
        elif kind != NOP:
            raise BadTree(f"unknown token {kind:#x} at {at - CELL:#x}")
        at = -(-at // CELL) * CELL


def _string(blob: bytes, at: int) -> str:
    end = blob.find(b"\0", at)
    if end < 0:
        raise BadTree(f"a name at {at:#x} has no end")
    return blob[at:end].decode(errors="replace")
