"""A cell's machine as an archive: for somebody who has a QEMU and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from base.errors import UsageError
from harness.bootdisk import boot_from_disk
from harness.domain import DomainConfig
from harness.hypervisor import DomuMachine
from harness.live.again import Ran
from harness.live.standalone import machine_of, recorded, standalone, written
from harness.machine import slots_of
from harness.resolve import QEMU, Resolved
from harness.toolstacks.qemu_args import arguments
from images.newc import Newc
from results.journal import load_result
from sim.spec import MachineSpec

SCRIPT = "run.sh"
# Where dom0 finds what starts its domU.
DOMU_SCRIPT = "/bundle/domu.sh"
# Evidence that says what has happened, by patterns.
EVIDENCE = (
    "result.json",
    "run-spec.json",
    "journal.jsonl",
    "autopsy*.txt",
    "alarm.txt",
    "qemu.cmdline",
    "console/*.log",
)
SPACE = 1 << 20


def make_bundle(ran: Ran, resolved: Resolved, target: Path) -> Path:
    """Write the archive (.tar.gz) of a cell, and return it. Raises UsageError for several machines, OSError."""
    if len(ran.spec.scenario.hosts) > 1:
        raise UsageError("a bundle has one machine, and this cell has two", hint="bundle a cell with one")
    name = target.name.removesuffix(".tar.gz")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle-") as work:
        folder = Path(work, name)
        folder.mkdir()
        fill(ran, resolved, folder)
        draft = Path(work, "archive")
        with tarfile.open(draft, "w:gz", compresslevel=6) as archive:
            archive.add(folder, name)
        draft.replace(target)
    return target


def fill(ran: Ran, resolved: Resolved, folder: Path) -> None:
    """Write a bundle's files into an empty folder. Raises OSError."""
    machine = _with_domu(machine_of(ran.spec, resolved), ran, folder)
    files: dict[str, str] = {}
    if resolved.loader is not None:
        machine, disk = boot_from_disk(machine, resolved.loader, folder)
        with os.fdopen(disk, "rb") as source, (folder / "disk.img").open("wb") as copy:
            source.seek(0)
            shutil.copyfileobj(source, copy, SPACE)
        files[f"/proc/self/fd/{disk}"] = "disk.img"
        for path in folder.glob("initramfs*"):
            path.unlink()  # it is on the disk
    for part in (machine.kernel, machine.initrd, machine.hypervisor, machine.bios):
        if part is not None:
            files[str(part)] = part.name
            if part.parent != folder:
                shutil.copyfile(part, folder / part.name)
    command = standalone(machine, files=files)
    program = Path(QEMU.format(ran.spec.platform.architecture)).name
    script = folder / SCRIPT
    script.write_text(_script(program, command))
    script.chmod(0o755)
    for path in _evidence(ran.directory):
        place = folder / "evidence" / path.relative_to(ran.directory)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    (folder / "README").write_text(_readme(ran, program))


def _script(program: str, command: list[str]) -> str:
    return f"""#!/bin/sh
# QEMU may name another one than that of the PATH, with arguments of its own. What is given here is added.
cd "$(dirname "$0")" || exit
exec ${{QEMU:-{program}}} \\
  {written(command)} "$@"
"""


def _with_domu(machine: MachineSpec, ran: Ran, folder: Path) -> MachineSpec:
    """Return the machine with a script in dom0's initramfs that starts a domU, if dom0 has a QEMU for it."""
    hypervisor, initrd = ran.spec.hypervisor, machine.initrd
    if hypervisor.toolstack != "qemu" or initrd is None or not ran.spec.scenario.domus:
        return machine
    archive = Newc()
    archive.file(DOMU_SCRIPT, _domu_script(hypervisor.domu, ran).encode(), 0o755)
    # The kernel unpacks archives that follow one another.
    target = folder / initrd.name
    with initrd.open("rb") as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, SPACE)
        copy.write(b"\0" * (-copy.tell() % 4))
        copy.write(archive.to_bytes())
    return replace(machine, initrd=target)


def _domu_script(domu: DomuMachine, ran: Ran) -> str:
    steps = (*ran.spec.scenario.prepare, *ran.spec.scenario.steps)
    given = next((step.params for step in steps if step.verb == "create"), {})
    config = DomainConfig(
        name=ran.spec.scenario.domus[0],
        memory=given.get("memory") or domu.memory,
        vcpus=given.get("vcpus", 1),
        append=given.get("append", ""),
    )
    words = arguments(domu, config, slots_of(ran.spec)[0], incoming=False)
    plain = {"console": "stdio,id=console,mux=on,signal=off", "command": "null,id=command", "qmp": "null,id=qmp"}
    for index, word in enumerate(words):
        for use, chardev in plain.items():
            if word.startswith(f"pipe,id={use},"):
                words[index] = chardev
    action = words.index("-action")
    command = shlex.join([*words[:action], *words[action + 2 :]])
    return f"#!/bin/sh\n# A domU, its console here; Ctrl-A Ctrl-A x ends it (one Ctrl-A is dom0's).\nexec {command}\n"


def _evidence(directory: Path) -> Iterator[Path]:
    for pattern in EVIDENCE:
        yield from sorted(directory.glob(pattern))


def _told(params: Mapping[str, Any]) -> str:
    """Return a step's parameters as YAML has them, without those that were left alone."""
    given = {key: value for key, value in params.items() if value not in (None, "", [], False) and key != "within"}
    return f": {json.dumps(given)}" if given else ""


def _readme(ran: Ran, program: str) -> str:
    spec = ran.spec
    steps = [*spec.scenario.prepare, *spec.scenario.steps]
    lines = [
        f"{spec.cell.id}",
        f"{spec.scenario.summary}",
        "",
        f"./{SCRIPT} starts the machine with the {program} of your PATH (QEMU=... names another); its console is your",
        "terminal, Ctrl-A x ends it, Ctrl-A c is QEMU's monitor, and qmp.sock beside it speaks QMP.",
        f"It ran with QEMU {spec.cell.qemu}, firmware {spec.firmware}; kernel {spec.kernel_identity.release}.",
    ]
    if spec.hypervisor.toolstack == "qemu" and spec.scenario.domus:
        lines.append(f"In dom0, `sh {DOMU_SCRIPT}` starts a domU whose console is there as well.")
    lines += ["", "What the test bed did on it (evidence/journal.jsonl has the times):"]
    lines += [f"  {number}. {step.verb}{_told(step.params)}" for number, step in enumerate(steps, 1)]
    result = load_result(ran.directory)
    lines += ["", f"It ended with: {result.verdict}: {result.message or 'as it should'}"]
    if command := recorded(ran.directory):
        lines += ["", "QEMU was started as:", command]
    return "\n".join(lines) + "\n"
