"""Executes one cell: a run-spec in, a result directory out."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from base.errors import InfraError, TestbedError
from base.files import atomic_write
from harness.autopsy import examine_all
from harness.cell import Cell
from harness.circumstances import circumstances
from harness.resolve import Resolved, resolve
from harness.runspec import FILE, RunSpec
from harness.scenario import Step
from harness.verbs import Verb, verbs
from harness.warm import Warm
from results.conclude import conclude, not_run
from results.expectations import load_expectations
from results.journal import Journal
from results.model import CellId, Result, Scalar, Section, StepPlan, StepResult, Verdict
from sim.errors import DeadlineExpired, GuestAlarm

TAIL_LINES = 15


@dataclass(frozen=True)
class _Ending:
    verdict: Verdict
    message: str


AtFailure = Callable[[Cell, StepResult], Awaitable[None]]


def run_cell(
    spec: RunSpec, directory: Path, facts: Mapping[str, Scalar] | None = None, at_failure: AtFailure | None = None
) -> Result:
    """Execute a cell in this process and return its result; `directory` must be empty. `facts` go into the result.

    `at_failure` gets the cell the moment that a step has not passed, before anything else is asked of its machine.

    Trouble of any kind becomes a verdict with its evidence, never an exception; only KeyboardInterrupt, and
    OSError when the directory cannot be written, come through.
    """
    atomic_write(directory / FILE, spec.model_dump_json(by_alias=True, indent=1) + "\n")
    return asyncio.run(_Run(spec, directory, facts or {}, at_failure).execute())


def leave_out(run: str, cell: CellId, reason: str, directory: Path) -> Result:
    """Write the result of a cell that makes no sense where it is (`n/a`), and return it."""
    result = not_run(run=run, cell=cell, declared=0, reason=reason, applicable=False)
    with Journal(directory) as journal:
        journal.cell_start(run, cell, [])
        journal.finish(result)
    return result


class _Run:
    """One execution: the steps in turn, the journal beside them."""

    def __init__(
        self, spec: RunSpec, directory: Path, facts: Mapping[str, Scalar], at_failure: AtFailure | None
    ) -> None:
        self._at_failure = at_failure
        self._spec = spec
        self._directory = directory
        self._journal = Journal(directory)
        self._given = facts
        self._facts: dict[str, Scalar] = {}
        self._step_facts: dict[str, Scalar] = {}
        self._woken = 0
        self._steps: list[StepResult] = []
        self._plan: list[tuple[Section, Step]] = [
            *(("prepare", step) for step in spec.scenario.prepare),
            *(("feature", step) for step in spec.scenario.steps),
        ]

    async def execute(self) -> Result:
        started, began = datetime.now(UTC), time.monotonic()
        declared = [StepPlan(section=section, verb=step.verb, title=step.title) for section, step in self._plan]
        with self._journal as journal:
            journal.cell_start(self._spec.run, self._spec.cell, declared)
            for name, value in {**_known_facts(self._spec), **self._given}.items():
                self._fact(name, value)
            trouble = await self._try_steps()
            result = conclude(
                run=self._spec.run,
                cell=self._spec.cell,
                declared=self._spec.steps_declared,
                steps=self._steps,
                started=started,
                elapsed=round(time.monotonic() - began, 3),
                facts=self._facts,
                expectations=load_expectations(),
                infra=trouble,
            )
            journal.finish(result)
        return result

    def _fact(self, name: str, value: Scalar) -> None:
        self._facts[name] = value
        self._journal.fact(name, value)

    def _step_fact(self, name: str, value: Scalar) -> None:
        self._step_facts[name] = value
        self._fact(name, value)

    async def _try_steps(self) -> str | None:
        """Run the steps; returns the message of a trouble of ours that happened beside them."""
        try:
            resolved = resolve(self._spec)
            async with AsyncExitStack() as stack:
                cell = self._cell(resolved, stack, self._directory)
                warm = None
                if self._spec.templates != "none":
                    warm = Warm(cell, partial(self._cell, resolved), self._step_facts)
                await self._run_steps(cell, warm)
        except Exception as error:
            return self._keep_traceback(error)
        return None

    def _cell(self, resolved: Resolved, stack: AsyncExitStack, directory: Path) -> Cell:
        return Cell(self._spec, directory, self._journal, stack, resolved, fact=self._step_fact)

    async def _run_steps(self, cell: Cell, warm: Warm | None) -> None:
        known = verbs()
        begin = await self._resume(warm) if warm else 0
        for index, (section, step) in enumerate(self._plan[begin:], begin):
            self._journal.step_start(index, section, step.verb, step.title)
            began = time.monotonic()
            ending = await self._run_step(cell, known[step.verb], step)
            elapsed = time.monotonic() - began
            self._tell_woken(cell)
            result = StepResult(
                index=index,
                section=section,
                verb=step.verb,
                title=step.title,
                verdict=ending.verdict,
                elapsed=round(elapsed, 3),
                message=ending.message,
            )
            self._steps.append(result)
            self._journal.step_end(index, ending.verdict, elapsed, ending.message)
            if ending.verdict is Verdict.PASS:
                if warm and section == "prepare":
                    await warm.keep(index + 1)
                continue
            if self._at_failure is not None:
                await self._at_failure(cell, result)
            await self._keep_evidence(cell)
            on = self._spec.scenario.checklist and section == "feature"
            if not on or ending.verdict is Verdict.INFRA or not cell.excuse_domains():
                break

    def _tell_woken(self, cell: Cell) -> None:
        """Keep that the simulator had to be helped, for a reader to judge what it means for the result."""
        woken = sum(machine.woken for machine in cell.machines)
        if woken > self._woken:
            self._fact("simulator.cpus-woken", woken)
            self._journal.note(f"CPUs that QEMU had put to sleep by mistake, woken so far: {woken}")
            self._woken = woken

    async def _resume(self, warm: Warm) -> int:
        """Start from a template if there is one; the steps that it stands for are told as such. Returns how many."""
        began = time.monotonic()
        done, template = await warm.resume()
        self._fact("start", f"template {template.name}" if template else "cold")
        if template is None:
            return 0
        for index, (section, step) in enumerate(self._plan[:done]):
            self._journal.step_start(index, section, step.verb, step.title)
            # All of them came at once: the last has the time.
            elapsed = round(time.monotonic() - began, 3) if index == done - 1 else 0.0
            remark = f"from template {template.name}, made {template.made:%Y-%m-%d %H:%M} UTC"
            result = StepResult(
                index=index,
                section=section,
                verb=step.verb,
                title=step.title,
                verdict=Verdict.PASS,
                elapsed=elapsed,
                message=remark,
                data={"template": template.name},
            )
            self._steps.append(result)
            self._journal.step_end(index, Verdict.PASS, elapsed, remark, result.data)
        return done

    async def _run_step(self, cell: Cell, verb: Verb, step: Step) -> _Ending:
        try:
            remark = await verb.function(cell, verb.params.model_validate(step.params))
            for machine in cell.machines:
                # An oops beside a step that got its answer is still an oops.
                await machine.check()
        except DeadlineExpired as error:
            return _Ending(Verdict.TIMEOUT, str(error))
        except GuestAlarm as error:
            (self._directory / "alarm.txt").write_text(error.excerpt + "\n")
            return _Ending(Verdict.FAIL, str(error))
        except InfraError as error:
            return _Ending(Verdict.INFRA, str(error))
        except TestbedError as error:
            return _Ending(Verdict.FAIL, str(error))
        except Exception as error:
            return _Ending(Verdict.INFRA, self._keep_traceback(error))
        return _Ending(Verdict.PASS, remark or "")

    async def _keep_evidence(self, cell: Cell) -> None:
        """Note the consoles' last lines and what QEMU still tells, while both are there."""
        for remark in await examine_all(cell):
            self._journal.note(remark)
        for machine in cell.machines:
            for console in machine.consoles:
                if console.alarms:
                    self._journal.note(f"last lines of console {console.name}:\n{console.tail(TAIL_LINES)}")

    def _keep_traceback(self, error: Exception) -> str:
        if isinstance(error, TestbedError):
            return str(error)
        with (self._directory / "traceback.txt").open("a") as stream:
            stream.write("".join(traceback.format_exception(error)))
        return f"error in the test bed itself: {type(error).__name__}: {error} (see traceback.txt)"


def _known_facts(spec: RunSpec) -> dict[str, Scalar]:
    """Return what is known of the cell before it runs."""
    return {
        "kernel": spec.kernel_identity.release,
        "gcc": spec.kernel_identity.gcc,
        "kernel.built.build-id": spec.kernel_identity.build_id,
        "image.qemu": spec.qemu.digest,
        "image.kernel": spec.kernel.digest,
        **({"image.initrd": spec.initrd.digest} if spec.initrd else {}),
        **({"image.hypervisor": spec.boots.digest} if spec.boots else {}),
        "firmware": spec.firmware,
        "accelerator": spec.accelerator,
        **({"accelerator.why": spec.accelerator_why} if spec.accelerator_why else {}),
        "host.factor": spec.factor,
        "host.factor.source": spec.factor_source,
        "seed": spec.seed,
        **circumstances(),
    }
