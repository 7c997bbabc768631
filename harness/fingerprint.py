"""All that makes the state of a prepared machine, by name: a template is used only where all of it is the same."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import sim
from base.files import sha256_bytes
from harness import toolstacks
from harness.host import slots_for
from harness.runspec import ImageRef, OwnFile, RunSpec
from harness.verbs import verbs

# The form in which templates are kept: another number makes all of them anew.
FORM = "2"
# Modules of ours, besides those of the verbs, that make a machine and what runs on it.
_MAKERS = ("harness.cell", "harness.machine", "harness.domain", "harness.host", "harness.frozen", "harness.warm")
# What a platform's file says that makes no other machine.
_IDLE = {"title", "note", "device_tree", "images", "own_firmware"}
# What a hypervisor's file says that makes the machine and its domains.
_STARTING = {"name", "toolstack", "domu_machine", "dom0", "arguments"}
# How a module of verbs says that it takes something from another.
_TAKES = re.compile(r"^from (harness\.steps\.\w+) import", re.MULTILINE)


def label(spec: RunSpec, done: int) -> str:
    """Say in words which machine it is and what was done on it."""
    steps = ", ".join(step.title for step in spec.scenario.prepare[:done])
    return f"{spec.platform.name}, {spec.hypervisor.name} ({spec.cell.kernel}): {steps}"


def bootables(spec: RunSpec) -> dict[str, str]:
    """Return what dom0 boots from: the simulator, its machine without what a scenario wants of it, and the images."""
    return {
        "qemu": f"{spec.cell.qemu} {spec.qemu.digest}",
        "platform": _json(spec.platform.model_dump(mode="json", exclude=_IDLE)),
        "firmware": f"{spec.firmware} {spec.bios.sha256}" if spec.bios else spec.firmware,
        **({"boots": _digest(spec.boots)} if spec.boots else {}),
        "kernel": _digest(spec.kernel),
        "initrd": _digest(spec.initrd) if spec.initrd else "",
        "append": spec.append,
        "hypervisor": _json(spec.hypervisor.model_dump(mode="json", include=_STARTING)),
    }


def inputs(spec: RunSpec, done: int) -> dict[str, str]:
    """Return what makes the state after the first `done` steps of the preparation."""
    scenario = spec.scenario
    steps = scenario.prepare[:done]
    return {
        "form": FORM,
        **bootables(spec),
        "accelerator": spec.accelerator,
        "machine": _json(scenario.machine.model_dump(mode="json")),
        # Where a domain stands in these lists gives it its addresses, and their length the number of ports.
        "domains": " ".join((*scenario.hosts, *scenario.domus)) if done > 1 else str(slots_for(len(scenario.domus))),
        "steps": _json([{"verb": step.verb, **step.params} for step in steps]),
        "code": code_digest(tuple(sorted({step.verb for step in steps}))),
    }


def code_digest(names: tuple[str, ...]) -> str:
    """Return the digest of our own code that brings a machine through these verbs."""
    return _sources(tuple(sorted(with_helpers({verbs()[name].function.__module__ for name in names}))))


def with_helpers(modules: Iterable[str]) -> set[str]:
    """Return modules of verbs, and those of other verbs that they take anything from."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= set(_TAKES.findall(_file(module).read_text())) - found
    return found


@cache
def _sources(modules: tuple[str, ...]) -> str:
    files = [_file(name) for name in (*_MAKERS, *modules)]
    for package in (sim, toolstacks):
        files += sorted(Path(package.__path__[0]).glob("*.py"))
    return sha256_bytes(b"\0".join(file.read_bytes() for file in files))


def _file(module: str) -> Path:
    return Path(str(sys.modules[module].__file__))


def _digest(what: ImageRef | OwnFile | None) -> str:
    return what.digest if what else ""


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
