"""Warm starts: a cell takes its preparation from a template, or leaves templates for those that come after it.

Two moments of a preparation are worth a template: dom0 has booted, and all is prepared. A template is used only when
everything that made it is the same; whether a machine can be resumed at all is tried when one is made, not looked up.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from base.errors import InfraError, TestbedError
from harness.cell import Cell
from harness.fingerprint import bootables, code_digest, inputs, label
from harness.frozen import CannotBeKept, Frozen, freeze, thaw
from harness.runspec import RunSpec
from harness.scenario import Step
from harness.verbs import StepFailed
from results.model import Scalar
from sim import snapshot
from sim.errors import HostStarved
from sim.platform import DOM0
from sim.templates import Draft, Template, TemplateStore

BOOT = "boot-dom0"
# What a template keeps: a cell's knowledge (`Frozen`), and the digest of the code that had brought it up.
CELL, CODE = "cell", "code"
# One that cannot be used may be so by chance. So many, if none can, are a property of the machine's.
ENOUGH = 2
CONSOLES = "console"
# What a resumed domain is given for one answer, in seconds of a calm host.
PATIENCE = 15.0
# Of a dom0 with several CPUs QEMU may resume none but the first (10.0.13 on pseries), if one thread runs them all.
_CPUS = "for cpu in /sys/devices/system/cpu/cpu[1-9]*; do [ ! -e $cpu ] || echo {} >$cpu/online || exit 1; done"
# Clones of one state must not draw the same random numbers, nor live in the past.
_RENEW = "renew {now} {seed}"
_SEED_BYTES = 64
# The timer ticks, and how many other interrupts there were: the timer's has no number.
_INTERRUPTS = (
    "usleep 100000; awk '/^ *[0-9]+:/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i } "
    "END { print sum + 0 }' /proc/interrupts"
)


class Warm:
    """The warm start of one cell. `clone` makes another cell of the same kind, whose evidence goes elsewhere.

    `facts` is what steps have recorded so far, at any moment.
    """

    def __init__(self, cell: Cell, clone: Callable[[AsyncExitStack, Path], Cell], facts: Mapping[str, Scalar]) -> None:
        self._cell = cell
        self._clone = clone
        self._facts = facts
        self._store = TemplateStore()
        self._points = points(cell.spec.scenario.prepare)

    async def resume(self) -> tuple[int, Template | None]:
        """Start from the template that spares most; returns how many steps it stands for, and which it was.

        Raises InfraError when a template that was good once cannot be resumed: it is then removed.
        """
        for done in reversed(self._points):
            made_by = inputs(self._cell.spec, done)
            with self._store.use(made_by) as template:
                if template is None or template.unusable:
                    self._tell_missing(done, template, made_by)
                    continue
                try:
                    again = self._cell.spec.templates == "make" and done < self._points[-1]
                    frozen = Frozen.model_validate(template.kept[CELL])
                    await _start(self._cell, self._store.folder(template), frozen, again=again)
                except HostStarved:
                    raise
                except (TestbedError, OSError, ValueError) as error:
                    self._store.discard(template)
                    raise InfraError(
                        f"template {template.name} could not be resumed and was removed: {error}",
                        hint="run the cell again: it will boot",
                    ) from error
                return done, template
        return 0, None

    def _tell_missing(self, done: int, template: Template | None, made_by: Mapping[str, str]) -> None:
        what = label(self._cell.spec, done)
        if template is not None:
            self._cell.fact("template.unusable", f"{template.name}: {template.unusable}")
        elif others := self._store.differences(what, made_by):
            self._cell.journal.note(f"no template of '{what}': another was made by {'; '.join(others)}")

    async def keep(self, done: int) -> None:
        """Leave a template of the state after `done` steps, if it is worth one and there is none; the cell goes on.

        Raises StepFailed, QmpFailed, and as `Cell.wait` when the cell's own machine does not go on.
        """
        cell = self._cell
        if cell.spec.templates != "make" or done not in self._points or self._dom0_is_unusable():
            return
        with self._store.claim(label(cell.spec, done), inputs(cell.spec, done)) as draft:
            if draft is None:
                return
            if cell.domains and (lost := lost_domus(cell.spec, self._store.all())):
                cell.journal.note(f"no template: domUs of such a machine were lost in {' and in '.join(lost)}")
                return
            try:
                frozen = freeze(cell, dict(self._facts))
            except CannotBeKept as error:
                cell.journal.note(f"no template: {error}")
                return
            await set_cpus(cell, online=False)
            outcome = await self._make(draft, frozen)
            await snapshot.go_on(cell.machine)
            await set_cpus(cell, online=True)
            cell.journal.note(f"template {draft.name} of '{draft.label}': {outcome}")

    async def _make(self, draft: Draft, frozen: Frozen) -> str:
        """Save the machine, try to resume it beside the one that now stands still; publish, and say what came of it."""
        began = time.monotonic()
        kept = {CELL: frozen.model_dump(mode="json"), CODE: code_digest(())}
        evidence = self._cell.directory / f"template-{draft.name}"
        try:
            size = await snapshot.save(self._cell.machine, draft.folder)
            _copy_consoles(self._cell.directory, draft.folder)
            await self._probe(draft.folder, frozen, evidence)
        except HostStarved as error:
            return f"not kept: {error}"
        except TestbedError as error:
            return f"cannot be used: {draft.publish(kept, unusable=str(error)).unusable} (see {evidence.name})"
        shutil.rmtree(evidence)
        draft.publish(kept, size=size)
        return f"{size >> 20} MiB, saved and tried in {time.monotonic() - began:.1f} s"

    async def _probe(self, folder: Path, frozen: Frozen, evidence: Path) -> None:
        """Resume what was saved: each domain answers, and is interrupted. Raises what shows that it cannot be used."""
        evidence.mkdir()  # noqa: ASYNC240  (one local folder)
        async with AsyncExitStack() as stack:
            clone = self._clone(stack, evidence)
            await _start(clone, folder, frozen, again=False)
            for name in (DOM0, *clone.domains):
                before, after = [int(await clone.must(name, _INTERRUPTS, PATIENCE)) for _ in range(2)]
                if after <= before:
                    raise StepFailed(f"no interrupts reach {name} after it was resumed")
            await clone.machine.check()

    def _dom0_is_unusable(self) -> bool:
        if 1 not in self._points:
            return False
        with self._store.use(inputs(self._cell.spec, 1)) as template:
            return template is not None and bool(template.unusable)


def points(prepare: tuple[Step, ...]) -> tuple[int, ...]:
    """Return after how many steps of a preparation a template is worth having, the fewest first."""
    if not prepare or prepare[0].verb != BOOT:
        return ()
    return tuple(sorted({1, len(prepare)}))


def lost_domus(spec: RunSpec, templates: Iterable[Template]) -> list[str]:
    """Return the names of templates which show that a cell's machine cannot be saved with domUs; none if it may be.

    Those are of the same machine, whatever was prepared on it.
    """
    same = {**bootables(spec), "accelerator": spec.accelerator}
    tried = [
        template
        for template in templates
        if template.kept.get(CODE) == code_digest(())
        and template.kept[CELL]["domains"]
        and same.items() <= template.inputs.items()
    ]
    lost = [template.name for template in tried if template.unusable]
    return lost if len(lost) == len(tried) >= ENOUGH else []


async def _start(cell: Cell, folder: Path, frozen: Frozen, *, again: bool) -> None:
    """Start a cell's machine from what was saved in a folder, and give its domains what is their own.

    `again` says whether it may itself be saved.
    """
    _give_consoles(folder, cell.directory)
    machine = await cell.start_machine(saved=folder, again=again)
    await snapshot.load(machine, folder)
    await thaw(cell, frozen, PATIENCE)
    for name in (DOM0, *cell.domains):
        await cell.wait(f"{name} answers", cell.shell(name).challenge(), PATIENCE, domain=name)
        await cell.must(name, _RENEW.format(now=int(time.time()), seed=secrets.token_hex(_SEED_BYTES)), PATIENCE)
    await set_cpus(cell, online=True)


def loses_cpus(cell: Cell) -> bool:
    """Whether QEMU loses CPUs of the machine that are on line when it is saved."""
    return cell.machine_spec.cpus > 1 and cell.machine_spec.platform.cpu_threads == "single"


async def set_cpus(cell: Cell, *, online: bool) -> None:
    """Take dom0's CPUs but the first off line where QEMU loses them when it is saved, or bring them back.

    Raises as `Cell.must`.
    """
    if loses_cpus(cell):
        await cell.must(DOM0, _CPUS.format(int(online)), PATIENCE)


def _copy_consoles(directory: Path, folder: Path) -> None:
    shutil.copytree(directory / CONSOLES, folder / CONSOLES)


def _give_consoles(folder: Path, directory: Path) -> None:
    """Let a cell's logs begin with what the template's consoles showed, before the time that its own clock counts."""
    target = directory / CONSOLES
    target.mkdir()
    for path in (folder / CONSOLES).iterdir():
        if path.suffix == ".jsonl":
            lines = (json.loads(line) for line in path.read_text().splitlines())
            text = "".join(json.dumps({**line, "t": 0.0, "template": True}) + "\n" for line in lines)
            (target / path.name).write_text(text)
        else:
            shutil.copyfile(path, target / path.name)
