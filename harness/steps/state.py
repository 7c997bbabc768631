"""Verbs of a domU's state: saved, restored, and moved from one place to another while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from harness.cell import Cell
from harness.domain import Domain, DomainConfig
from harness.steps.answering import DomainParams
from harness.steps.domains import boot_id
from harness.toolstacks import MigrationFailed, StateRefused
from harness.verbs import Seconds, StepFailed, verb

FOLDER = "/run/saved"
KEPT_BOOT = "boot-of-"
# A domU that works and has moved answers in a few seconds; one that does not by then (s of a calm host) is not whole.
MOVED_WITHIN = 60.0


class StateParams(DomainParams):
    """Parameters of `save`, `restore`, `managed-save` and `start-saved`."""

    within: Seconds = 120.0


class RefusesParams(DomainParams):
    """Parameters of `refuses-to-restore`: what is wrong with the save file.

    `truncated`: its second half is missing. `foreign`: it is no save file. `other-machine`: it is of a domU with
    less memory.
    """

    file: Literal["truncated", "foreign", "other-machine"]
    within: Seconds = 120.0


class MigrateParams(DomainParams):
    """Parameters of `migrate` and `migration-fails`: to which dom0 (default: another process of the same one)."""

    to: str | None = None
    within: Seconds = 180.0


class MoveParams(MigrateParams):
    """Parameters of `migrate`: whether the domU must answer at once; if not, a later step asks it."""

    answers: bool = True


@verb("save", shorthand="domain")
async def save(cell: Cell, params: StateParams) -> str:
    """Save a domU to a file in its dom0; it is then gone."""
    name = params.domain
    domain = await _about_to_go(cell, params)
    await cell.must(domain.host.name, f"mkdir -p {FOLDER}", params.within)
    work = cell.toolstack.save(domain, f"{FOLDER}/{name}")
    size = await cell.control(name, f"{name} is saved", work, params.within)
    del cell.domains[name]
    cell.fact(f"save.{name}.bytes", size)
    return f"{size >> 20} MiB"


@verb("restore", shorthand="domain")
async def restore(cell: Cell, params: StateParams) -> str:
    """Restore a saved domU; it must answer, and be the boot that was saved."""
    name = params.domain
    config, host, _ = _saved(cell, name)
    work = cell.toolstack.restore(cell, config, cell.host(host), f"{FOLDER}/{name}")
    cell.domains[name] = await cell.wait(f"{name} is restored", work, params.within, domain=host)
    return await _is_back(cell, params)


@verb("managed-save", shorthand="domain")
async def managed_save(cell: Cell, params: StateParams) -> None:
    """Save a domU where its toolstack keeps such states, under the domU's name; it is then gone."""
    name = params.domain
    domain = await _about_to_go(cell, params)
    await cell.control(name, f"{name} is saved", cell.toolstack.managed_save(domain), params.within)
    del cell.domains[name]


@verb("start-saved", shorthand="domain")
async def start_saved(cell: Cell, params: StateParams) -> str:
    """Start a domU whose state its toolstack keeps: it must answer, and be the boot that was saved."""
    name = params.domain
    config, host, _ = _saved(cell, name)
    work = cell.toolstack.start_saved(cell, config, cell.host(host))
    cell.domains[name] = await cell.wait(f"{name} is started again", work, params.within, domain=host)
    return await _is_back(cell, params)


@verb("refuses-to-restore")
async def refuses_to_restore(cell: Cell, params: RefusesParams) -> str:
    """Restore from a file that is not whole or not the domU's: it must be refused, and the good file kept."""
    name = params.domain
    config, host, _ = _saved(cell, name)
    good, bad = f"{FOLDER}/{name}", f"{FOLDER}/{name}.bad"
    make = {
        # QEMU ends the stream with a description for people, which it does not miss: half of it is gone.
        "truncated": f"head -c $(($(stat -c %s {good}) / 2)) {good} >{bad}",
        "foreign": f"head -c 65536 /dev/urandom >{bad}",
        "other-machine": f"ln {good} {bad}",
    }
    if params.file == "other-machine":
        config = replace(config, memory=config.memory + cell.hypervisor.domu.memory_quantum)
    before = await cell.run(host, f"rm -f {bad}; {make[params.file]} && md5sum <{good}", params.within)
    if before.status != 0:
        raise StepFailed(f"{host} has no room for a {params.file} copy: {before.output.strip()}")
    try:
        domain = await _try_restore(cell, config, host, bad, params.within)
    except StateRefused as refusal:
        after = await cell.run(host, f"rm {bad}; md5sum <{good}", params.within)
        if after.output != before.output:
            raise StepFailed(f"the save file of {name} has changed") from refusal
        return str(refusal).splitlines()[-1]
    cell.domains[name] = domain
    raise StepFailed(f"{name} was restored from a {params.file} file")


async def _try_restore(cell: Cell, config: DomainConfig, host: str, path: str, seconds: float) -> Domain:
    work = cell.toolstack.restore(cell, config, cell.host(host), path)
    return await cell.wait(f"{config.name} is refused", work, seconds, domain=host)


async def _about_to_go(cell: Cell, params: StateParams) -> Domain:
    """Return a domU that is going to be saved, and note what it is."""
    name = params.domain
    domain = cell.domain(name)
    cell.notes[KEPT_BOOT + name] = (domain.config, domain.host.name, await boot_id(cell, name, params.within))
    return domain


async def _is_back(cell: Cell, params: StateParams) -> str:
    """Let a domU that was saved answer. Raises StepFailed when it is another boot."""
    name = params.domain
    await cell.wait(f"{name} answers", cell.shell(name).challenge(), params.within, domain=name)
    after, before = await boot_id(cell, name, params.within), _saved(cell, name)[2]
    if after != before:
        raise StepFailed(f"{name} is another boot: {after}, saved was {before}")
    return f"boot {after[:8]}"


def _saved(cell: Cell, name: str) -> tuple[DomainConfig, str, str]:
    kept = cell.notes.get(KEPT_BOOT + name)
    if kept is None:
        raise StepFailed(f"{name} was not saved", hint=f"put the step `save: {name}` before this one")
    config, host, boot = kept
    return config, host, boot


@verb("migrate", shorthand="domain")
async def migrate(cell: Cell, params: MoveParams) -> str:
    """Migrate a running domU; it must answer where it has gone. How long it stood still is recorded."""
    name = params.domain
    domain = cell.domain(name)
    to = cell.host(params.to or domain.host.name)
    moved, took = await cell.control(name, f"{name} migrates", cell.toolstack.migrate(cell, domain, to), params.within)
    cell.domains[name] = moved
    if params.answers:
        within = min(params.within, MOVED_WITHIN)
        await cell.wait(f"{name} answers", moved.command.challenge(), within, domain=name)
    cell.fact(f"migration.{name}.total-ms", took.total)
    told = [f"{took.total} ms"]
    if took.downtime is not None:
        cell.fact(f"migration.{name}.downtime-ms", took.downtime)
        told.append(f"of which it stood still {took.downtime} ms")
    if took.sent is not None:
        told.append(f"{took.sent >> 20} MiB sent")
    return ", ".join(told)


@verb("migration-fails", shorthand="domain")
async def migration_fails(cell: Cell, params: MigrateParams) -> str:
    """Migrate a domU to where more memory is expected than it has: that is told, and the domU goes on where it is."""
    name = params.domain
    domain = cell.domain(name)
    config = replace(domain.config, memory=domain.config.memory + cell.hypervisor.domu.memory_quantum)
    work = cell.toolstack.migrate(cell, domain, cell.host(params.to or domain.host.name), config)
    try:
        cell.domains[name], _ = await cell.control(name, f"{name}'s migration fails", work, params.within)
    except MigrationFailed as failure:
        await cell.wait(f"{name} answers", domain.command.challenge(), params.within, domain=name)
        return str(failure)
    raise StepFailed(f"{name} migrated to a machine that is not its own kind")
