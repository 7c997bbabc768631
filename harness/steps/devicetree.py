"""What a domain's device tree says of its machine."""

from __future__ import annotations

import re

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import StepFailed, verb

# Prints the model, the cells of an address and of a size, a line for each CPU node, and each memory node's `reg`.
_SCRIPT = r"""
cd /proc/device-tree || exit 1
hex() { hexdump -v -e '1/1 "%02x"' "$1"; }
echo "model $(tr -d '\0' <model)"
echo "address-cells $(hex '#address-cells')"
echo "size-cells $(hex '#size-cells')"
for node in cpus/*/; do
    [ "$(tr -d '\0' <"${node}device_type" 2>/dev/null)" = cpu ] && echo "cpu $(tr -d '\0' <"${node}name")"
done
for node in memory*/; do
    [ -f "${node}reg" ] && echo "memory $(hex "${node}reg")"
done
true
"""
# A cell of the device tree has 32 bits (Devicetree Specification, 2.2.4): so many hexadecimal digits.
_CELL = 8


@verb("device-tree", shorthand="domain")
async def device_tree(cell: Cell, params: DomainParams) -> str:
    """Compare model, CPUs and memory in a domain's device tree with what its machine was given."""
    shape = cell.shape(params.domain)
    answer = await cell.run(params.domain, _SCRIPT, params.within)
    found: dict[str, list[str]] = {}
    for line in answer.output.splitlines():
        word, _, text = line.partition(" ")
        found.setdefault(word, []).append(text.strip())
    if answer.status != 0 or not {"model", "cpu", "memory"} <= set(found):
        raise StepFailed(f"{params.domain} has no whole device tree: {answer.output.strip()}")
    model, cpus = found["model"][0], found["cpu"]
    address_cells, size_cells = (int(found[name][0], 16) for name in ("address-cells", "size-cells"))
    megabytes = sum(memory_size(reg, address_cells, size_cells) for reg in found["memory"]) >> 20
    cell.fact(f"device-tree.{params.domain}.model", model)
    if not re.search(shape.model, model):
        raise StepFailed(f"{params.domain}: the model is '{model}', which does not match /{shape.model}/")
    if len(cpus) != shape.cpus or not all(re.search(shape.cpu, name) for name in cpus):
        raise StepFailed(f"{params.domain}: the CPUs are {', '.join(cpus)}, not {shape.cpus} of /{shape.cpu}/")
    if megabytes != shape.memory:
        raise StepFailed(f"{params.domain}: the tree has {megabytes} MiB of memory, given were {shape.memory} MiB")
    return f"{model}; {', '.join(cpus)}; {megabytes} MiB"


def memory_size(reg: str, address_cells: int, size_cells: int) -> int:
    """Return the bytes that a memory node's `reg` describes: pairs of an address and a size of so many cells.

    `reg` is in hexadecimal digits. Raises StepFailed if it is not whole.
    """
    address, size = address_cells * _CELL, size_cells * _CELL
    if not reg or len(reg) % (address + size):
        raise StepFailed(f"memory's reg '{reg}' is not made of {address_cells} + {size_cells} cells")
    return sum(int(reg[at + address : at + address + size], 16) for at in range(0, len(reg), address + size))
