"""What a result was made from: the inputs that can change its verdict, each a short text by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from base.files import sha256_bytes
from results.model import Record, Result, Scalar

SPEC = "run-spec.json"
# Inputs of this kind are told when they change, but may not change a verdict: deadlines are counted in work.
HOST = "host."
# At the top of a scenario, platform or hypervisor: words for people, which files one takes, where its own was read.
_PROSE = ("summary", "title", "note", "images", "own-firmware", "folder")
# Facts of a result that are inputs as they are.
_FACTS = ("testbed.code", "host.machine", "host.cpu", "host.factor")

Inputs = Mapping[str, str]


class Change(NamedTuple):
    """An input that differs between two results; None: one of them does not have it."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.name}: {shown(self.before)} -> {shown(self.after)}"


class _Image(Record):
    digest: str = ""
    sha256: str = ""
    recipe: str = ""


class _Kernel(Record):
    release: str = ""
    build_id: str = Field(default="", alias="build-id")
    gcc: str = ""


class _Cell(Record):
    qemu: str = ""


class _Debugger(Record):
    gdb: _Image = _Image()
    domu_kernel: _Image | None = Field(default=None, alias="domu-kernel")


class _Spec(Record):
    """What is read of a run-spec; everything may be missing, so that older ones are read as far as they go."""

    cell: _Cell = _Cell()
    scenario: dict[str, Any] = Field(default_factory=dict)
    platform: dict[str, Any] = Field(default_factory=dict)
    hypervisor: dict[str, Any] = Field(default_factory=dict)
    firmware: str = ""
    qemu: _Image = _Image()
    boots: _Image | None = None
    kernel: _Image = _Image()
    kernel_identity: _Kernel = Field(default=_Kernel(), alias="kernel-identity")
    domu_identity: _Kernel | None = Field(default=None, alias="domu-identity")
    initrd: _Image | None = None
    loader: _Image | None = None
    bios: _Image | None = None
    debugger: _Debugger | None = None
    append: str = ""


def inputs_of(directory: Path, result: Result) -> dict[str, str]:
    """Return the inputs of a result from its run-spec and its facts; what is not known there is left out.

    Names: `hypervisor.image|recipe` (where dom0's kernel is another file),
    `kernel.release|build-id|gcc|image|recipe`, `domu-kernel.release|build-id|image`,
    `qemu.version|image|recipe`, `firmware`, `firmware.image`, `initrd.image|recipe`, `loader.image|recipe`,
    `gdb.image`, `append`, `scenario`, `platform`, `hypervisor` (digests of their content), `testbed.code`,
    `host.machine|cpu|factor`.
    """
    try:
        spec = _Spec.model_validate_json((directory / SPEC).read_bytes())
    except (OSError, ValidationError):
        # No run-spec (a cell that was left out), or one that is damaged, which its seal tells.
        return _from_facts(result.facts)
    debugger = spec.debugger or _Debugger()
    loader, initrd, boots = spec.loader or _Image(), spec.initrd or _Image(), spec.boots or _Image()
    domu, domu_kernel = spec.domu_identity or _Kernel(), debugger.domu_kernel or _Image()
    found = {
        "hypervisor.image": boots.digest or boots.sha256,
        "hypervisor.recipe": boots.recipe,
        "kernel.release": spec.kernel_identity.release,
        "kernel.build-id": spec.kernel_identity.build_id,
        "kernel.gcc": spec.kernel_identity.gcc,
        "kernel.image": spec.kernel.digest or spec.kernel.sha256,
        "kernel.recipe": spec.kernel.recipe,
        "domu-kernel.release": domu.release,
        "domu-kernel.build-id": domu.build_id,
        "domu-kernel.image": domu_kernel.digest,
        "qemu.version": spec.cell.qemu,
        "qemu.image": spec.qemu.digest or spec.qemu.sha256,
        "qemu.recipe": spec.qemu.recipe,
        "firmware": spec.firmware,
        "firmware.image": spec.bios.sha256 if spec.bios else "",
        "initrd.image": initrd.digest or initrd.sha256,
        "initrd.recipe": initrd.recipe,
        "loader.image": loader.digest or loader.sha256,
        "loader.recipe": loader.recipe,
        "gdb.image": debugger.gdb.digest,
        "append": spec.append,
        "scenario": content_digest(spec.scenario),
        "platform": content_digest(spec.platform),
        "hypervisor": content_digest(spec.hypervisor),
    }
    return {name: value for name, value in found.items() if value} | _from_facts(result.facts)


def content_digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a scenario, platform or hypervisor as a run-spec has it, "" for an empty one.

    Words for people and what is empty do not count, so that a key which a newer version adds changes nothing
    until it is used.
    """
    content = _filled({name: value for name, value in data.items() if name not in _PROSE})
    return sha256_bytes(json.dumps(content, sort_keys=True).encode()) if content else ""


def changes(before: Inputs, after: Inputs) -> tuple[Change, ...]:
    """Return what differs, by name. An input that one side does not know differs from any value."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def product_key(inputs: Inputs) -> str | None:
    """Return one text for all inputs but the host's: equal means that both verdicts speak of the same thing.

    None if too little is known to say so (a result from before inputs were written down).
    """
    known = {name: value for name, value in inputs.items() if not name.startswith(HOST)}
    return json.dumps(known, sort_keys=True) if "scenario" in known and "kernel.image" in known else None


def shown(value: str | None) -> str:
    """Return an input as people read it: a digest in twelve digits, `-` for one that is not known."""
    if not value:
        return "-"
    return value[:12] if len(value) >= 40 and all(char in "0123456789abcdef" for char in value) else value


@dataclass(frozen=True)
class Today:
    """What today's plan would use: some inputs of each cell, by cell id. The harness knows; `results` only compares."""

    cells: Mapping[str, Inputs]

    def changes(self, cell_id: str, inputs: Inputs) -> tuple[Change, ...]:
        """Return which of the inputs that both sides know are different today."""
        today = self.cells.get(cell_id, {})
        return tuple(
            Change(name, inputs[name], value)
            for name, value in sorted(today.items())
            if name in inputs and inputs[name] != value
        )


def _from_facts(facts: Mapping[str, Scalar]) -> dict[str, str]:
    return {name: str(facts[name]) for name in _FACTS if facts.get(name) not in (None, "")}


def _filled(value: Any) -> Any:
    """Return plain data without what is empty."""
    if isinstance(value, Mapping):
        return {str(name): kept for name, item in value.items() if (kept := _filled(item))}
    if isinstance(value, list | tuple):
        return [_filled(item) for item in value]
    return value
