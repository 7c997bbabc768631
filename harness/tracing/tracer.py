"""Tracing a live cell: its dom0, the domUs that run, and those that start meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.cell import Cell
from harness.domain import Domain
from harness.scenario import Scenario, Step
from harness.steps.hcalls import check_whole, exits
from harness.tracing.events import BOOTED_TRACING, Kind, Span, begin_script, end_script, read_script, spans
from harness.tracing.qemu import EVENT, Compared, calls, compare
from harness.verbs import StepFailed
from sim.platform import DOM0

# A long trace takes a simulated machine some time to print (s of a calm host).
WITHIN = 300.0


@dataclass
class Traced:
    """What was traced. `frequency` is the timebase's (Hz); `counters` is by how much KVM's have risen, by domU.

    `agreed` holds a domU's kernel against its QEMU in dom0; `remarks` say what could not be had.
    """

    frequency: int
    spans: list[Span] = field(default_factory=list)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    agreed: dict[str, Compared] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def traced(scenario: Scenario, kinds: Iterable[Kind]) -> Scenario:
    """Return a scenario whose domUs trace from their kernel's first moments on, if they have not booted before.

    What has booted in the preparation is left as it is: it may come from a template.
    """
    events = [path.replace("/", ":") for kind in kinds if kind.where == "domu" for path in (kind.begins, kind.ends)]
    if not events:
        return scenario
    words = f"trace_event={','.join(events)} {BOOTED_TRACING}"
    before = booted(scenario.prepare)

    def step_of(step: Step, *, leave: bool) -> Step:
        if step.verb != "create" or leave:
            return step
        append = f"{step.params.get('append', '')} {words}".strip()
        return step.model_copy(update={"params": {**step.params, "append": append}})

    prepare = tuple(step_of(step, leave=step.params.get("domain") in before) for step in scenario.prepare)
    steps = tuple(step_of(step, leave=False) for step in scenario.steps)
    return scenario.model_copy(update={"prepare": prepare, "steps": steps})


def booted(steps: Iterable[Step]) -> set[str]:
    """Return the domUs that have booted after some steps."""
    return {step.params["domain"] for step in steps if step.verb == "boots"}


class Tracer:
    """Traces a cell from when its dom0 is there (`look`) until `end`. All raise StepFailed, and as `Cell.wait`."""

    def __init__(self, cell: Cell, kinds: Sequence[Kind]) -> None:
        self._cell = cell
        # Those of the preparation that can be asked; all others trace by themselves, or cannot be asked yet.
        self._booted = booted(cell.spec.scenario.prepare)
        self._inside = [kind for kind in kinds if kind.where == "domu"]
        self._outside = [kind for kind in kinds if kind.where == DOM0]
        self._before: dict[str, dict[str, int]] = {}
        self._watched: dict[str, Domain] = {}
        # The timebase's, in Hz; known once it has begun.
        self._frequency = 0

    async def look(self) -> None:
        """Begin once dom0 is there; then take up domUs that are new, or have begun anew."""
        if not self._frequency:
            if self._cell.machines:
                await self._begin()
            return
        for name, domain in self._cell.domains.items():
            if self._watched.get(name) is not domain:
                await self._watch(name)

    async def _begin(self) -> None:
        self._frequency = await self._read_frequency()
        if self._outside:
            await self._cell.must(DOM0, begin_script(self._outside), WITHIN)
        for name in self._cell.domains:
            await self._watch(name)
            if self._inside and name in self._booted:
                await self._cell.must(name, begin_script(self._inside), WITHIN)

    async def end(self) -> Traced:
        """End, and return what was traced."""
        if not self._frequency:
            raise StepFailed("nothing was traced: dom0 never came up")
        traced = Traced(self._frequency)
        # All ends before anything is read: reading would be traced as well.
        if self._outside:
            await self._cell.must(DOM0, end_script(self._outside), WITHIN)
        there = {name: domain for name, domain in self._watched.items() if await self._runs(name, domain)}
        traced.remarks += [f"{name} has ended, and its trace with it" for name in self._watched if name not in there]
        for name, domain in there.items():
            if self._inside:
                await self._cell.must(name, end_script(self._inside), WITHIN)
                if domain.monitor is not None:
                    await domain.qmp.execute("trace-event-set-state", name=EVENT, enable=False)
            after = await exits(self._cell, domain, WITHIN)
            traced.counters[name] = {key: count - self._before[name].get(key, 0) for key, count in after.items()}
        if self._inside:
            for name, domain in there.items():
                await self._read_domain(name, domain, traced)
        if self._outside:
            traced.spans += spans(await self._text(DOM0, traced), self._outside)
        traced.spans.sort(key=lambda span: span.begin)
        return traced

    async def _runs(self, name: str, domain: Domain) -> bool:
        """Whether a domU can be asked: the QEMU of one that has switched itself off is there still."""
        if self._cell.domains.get(name) is not domain or domain.ended.done():
            return False
        return domain.monitor is None or bool((await domain.qmp.execute("query-status"))["running"])

    async def _watch(self, name: str) -> None:
        domain = self._cell.domains[name]
        self._watched[name] = domain
        self._before[name] = await exits(self._cell, domain, WITHIN)
        if self._inside and domain.monitor is not None:
            await domain.qmp.execute("human-monitor-command", command_line=f"log trace:{EVENT}")

    async def _read_domain(self, name: str, domain: Domain, traced: Traced) -> None:
        text = await self._text(name, traced)
        traced.spans += (found := spans(text, self._inside))
        if domain.monitor is None:
            return
        said = await self._cell.must(domain.host.name, f"grep {EVENT} /run/{domain.slot.name}.log || true", WITHIN)
        mine = [span.name for span in found if span.kind == "hcall"]
        try:
            traced.agreed[name] = compare(mine, calls(said))
        except StepFailed as error:
            traced.remarks.append(f"{name}: {error}")

    async def _text(self, name: str, traced: Traced) -> str:
        text = await self._cell.must(name, read_script(), WITHIN)
        self._cell.evidence(f"trace.{name}.txt", text)
        try:
            check_whole(text)
        except StepFailed as error:
            traced.remarks.append(f"{name}, of which only the end is here: {error}")
        return text

    async def _read_frequency(self) -> int:
        found = re.search(
            r"^timebase\s*: (\d+)$", await self._cell.must(DOM0, "cat /proc/cpuinfo", WITHIN), re.MULTILINE
        )
        if found is None:
            raise StepFailed("dom0 does not say its timebase's frequency")
        return int(found[1])
