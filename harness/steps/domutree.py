"""Compares the device tree that a domU's kernel was booted with with what the domU was to be."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from harness.cell import Cell
from harness.flattree import BadTree, Node, parse
from harness.steps.answering import DomainParams
from harness.toolstacks.qemu_args import kernel_arguments
from harness.verbs import Seconds, StepFailed, verb

FLATTENED = "/sys/firmware/fdt"


class TreeParams(DomainParams):
    """Parameters of `tree-as-asked`."""

    within: Seconds = 60.0


@dataclass(frozen=True)
class Asked:
    """What was asked for: sizes in bytes, `model` and `cpu` as regular expressions, `consoles` how many."""

    name: str
    machine: str
    model: str
    cpu: str
    cpus: int
    memory: int
    arguments: str
    initrd: int
    consoles: int
    disks: bool
    macs: tuple[str, ...]


@verb("tree-as-asked", shorthand="domain")
async def tree_as_asked(cell: Cell, params: TreeParams) -> str:
    """Read the flattened tree that a domU booted with; all in it that was asked for must be as asked."""
    name = params.domain
    domain, domu, shape = cell.domain(name), cell.hypervisor.domu, cell.shape(name)
    config = domain.config
    size = await cell.run(domain.host.name, f"stat -c %s {domu.initrd}", params.within)
    if size.status != 0:
        raise StepFailed(f"{domain.host.name} has no {domu.initrd}: {size.output.strip()}")
    asked = Asked(
        name=name,
        machine=domu.machine.partition(",")[0],
        model=shape.model,
        cpu=shape.cpu,
        cpus=config.vcpus,
        memory=config.memory << 20,
        arguments=kernel_arguments(domu, config),
        initrd=int(size.output),
        # The kernel's log and the command channel.
        consoles=2,
        disks=bool(config.disks),
        macs=tuple(nic.mac for nic in config.nics),
    )
    try:
        wrong = differences(await fetch_tree(cell, name, params.within), asked)
    except BadTree as error:
        raise StepFailed(f"{name}'s device tree: {error}") from error
    if wrong:
        raise StepFailed(f"{name}'s device tree is not as asked: {'; '.join(wrong)}")
    return f"{asked.cpus} CPU, {config.memory} MiB, initramfs of {asked.initrd} bytes, '{asked.arguments}'"


async def fetch_tree(cell: Cell, name: str, seconds: float) -> Node:
    """Return the device tree that a domain's kernel was booted with. Raises StepFailed, BadTree."""
    answer = await cell.run(name, f"base64 {FLATTENED}", seconds)
    try:
        blob = base64.b64decode("".join(answer.output.split()), validate=True)
    except binascii.Error as error:
        raise StepFailed(f"{name} does not show its tree: {answer.output.strip()[:200]}") from error
    return parse(blob)


def differences(root: Node, asked: Asked) -> list[str]:
    """Return where a tree is not as asked, in words. Raises BadTree where it has not even the place to look."""
    chosen, cpus, bus = root.child("chosen"), root.child("cpus"), root.child("vdevice")
    initrd = chosen.number("linux,initrd-end") - chosen.number("linux,initrd-start")
    processors = [node for node in cpus.children if node.properties.get("device_type") == b"cpu\0"]
    memory = sum(size for node in root.called("memory") for _, size in node.ranges(root))
    macs = tuple(node.value("local-mac-address").hex(":") for node in bus.called("l-lan"))
    wrong: list[str] = []

    def compare(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            wrong.append(f"{what} {found}, asked {wanted}")

    compare("name", root.text("ibm,partition-name"), asked.name)
    if not any(word.endswith(asked.machine) for word in root.texts("compatible")):
        wrong.append(f"compatible {', '.join(root.texts('compatible'))}, asked {asked.machine}")
    if not re.search(asked.model, root.text("model")):
        wrong.append(f"model '{root.text('model')}', asked /{asked.model}/")
    compare("CPUs", len(processors), asked.cpus)
    if strange := [node.name for node in processors if not re.search(asked.cpu, node.name.partition("@")[0])]:
        wrong.append(f"CPU {', '.join(strange)}, asked /{asked.cpu}/")
    compare("memory", memory, asked.memory)
    compare("kernel arguments", chosen.text("bootargs"), asked.arguments)
    compare("initramfs of", initrd, asked.initrd)
    compare("consoles", len(bus.called("vty")), asked.consoles)
    compare("SCSI hosts", len(bus.called("v-scsi")), int(asked.disks))
    compare("network cards", macs, asked.macs)
    return wrong
