"""What a domain finds of its machine: in its device tree, or in what a PC has instead."""

from __future__ import annotations

import re

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import StepFailed, verb

# Prints the model, the cells of an address and of a size, a line for each CPU node, and each memory node's `reg`. Under
# Xen on a PC a domU has no firmware's tables, and the memory of any domain is what its balloon leaves to it.
_SCRIPT = r"""
if [ ! -e /proc/device-tree/model ]; then
    cd /sys/hypervisor || exit 1
    echo "model $(cat /sys/class/dmi/id/product_name 2>/dev/null ||
        echo $(cat type) $(cat version/major).$(cat version/minor))"
    sed -n 's/^model name[^:]*: /cpu /p' /proc/cpuinfo
    echo "kilobytes $(cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb)"
    exit
fi
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


@verb("sees-machine", shorthand="domain")
async def sees_machine(cell: Cell, params: DomainParams) -> str:
    """Compare model, CPUs and memory as a domain's firmware, or its hypervisor, tells them with what it was given."""
    shape = cell.shape(params.domain)
    answer = await cell.run(params.domain, _SCRIPT, params.within)
    found: dict[str, list[str]] = {}
    for line in answer.output.splitlines():
        word, _, text = line.partition(" ")
        found.setdefault(word, []).append(text.strip())
    if answer.status != 0 or not {"model", "cpu"} < set(found):
        raise StepFailed(f"{params.domain} does not tell its machine: {answer.output.strip()}")
    model, cpus, megabytes = found["model"][0], found["cpu"], _memory(found)
    cell.fact(f"machine.{params.domain}.model", model)
    if not re.search(shape.model, model):
        raise StepFailed(f"{params.domain}: the model is '{model}', which does not match /{shape.model}/")
    if len(cpus) != shape.cpus or not all(re.search(shape.cpu, name) for name in cpus):
        raise StepFailed(f"{params.domain}: the CPUs are {', '.join(cpus)}, not {shape.cpus} of /{shape.cpu}/")
    if megabytes != shape.memory:
        raise StepFailed(f"{params.domain}: it has {megabytes} MiB of memory, given were {shape.memory} MiB")
    return f"{model}; {', '.join(cpus)}; {megabytes} MiB"


def _memory(found: dict[str, list[str]]) -> int:
    """Return the memory that was told, in MiB. Raises StepFailed when it was not."""
    if "kilobytes" in found:
        return int(found["kilobytes"][0]) >> 10
    if "memory" not in found:
        raise StepFailed("the device tree has no memory")
    address_cells, size_cells = (int(found[name][0], 16) for name in ("address-cells", "size-cells"))
    return sum(memory_size(reg, address_cells, size_cells) for reg in found["memory"]) >> 20


def memory_size(reg: str, address_cells: int, size_cells: int) -> int:
    """Return the bytes that a memory node's `reg` describes: pairs of an address and a size of so many cells.

    `reg` is in hexadecimal digits. Raises StepFailed if it is not whole.
    """
    address, size = address_cells * _CELL, size_cells * _CELL
    if not reg or len(reg) % (address + size):
        raise StepFailed(f"memory's reg '{reg}' is not made of {address_cells} + {size_cells} cells")
    return sum(int(reg[at + address : at + address + size], 16) for at in range(0, len(reg), address + size))
