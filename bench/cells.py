"""One start of a machine by the harness itself, measured."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.model import BenchFailed
from bench.usage import Cpu
from harness.plan import Choice, plan
from harness.runspec import RunSpec
from harness.scenario import load_scenario
from harness.specs import make_spec
from harness.worker import run_cell
from results.model import Result, Verdict

SCENARIOS = Path(__file__).parent / "scenarios"
KERNEL = "fixed"
RUN = "bench"
# A computed answer to a challenge (sim.shell), which nothing else prints.
ANSWER = re.compile(rb"<\d+>\r?\n")


@dataclass(frozen=True)
class Start:
    """How one start went, in seconds.

    `answered`: from the making of the machine to the first computed answer of the domain that it is about; `ready`:
    all of the preparation, up to the first step. `cpu` is what QEMU used from its start to its end, `own` the harness.
    """

    answered: float
    ready: float
    cpu: float
    own: float
    wall: float
    result: Result
    directory: Path

    @property
    def template(self) -> bool:
        """Whether it was a warm start."""
        return str(self.result.facts.get("start", "cold")).startswith("template")


@cache
def spec_of(name: str, platform: str, *, cold: bool) -> RunSpec:
    """Return the run-spec of a scenario in bench/scenarios. Raises what making images raises."""
    scenario = load_scenario(SCENARIOS / f"{name}.yaml")
    cells = plan([scenario], Choice(platform=platform, kernel=KERNEL, templates="none" if cold else "make"))
    return make_spec(cells[0], RUN)


def start(spec: RunSpec, directory: Path, domain: str) -> Start:
    """Execute a cell that prepares and asks once, and measure it. Raises BenchFailed when it does not pass."""
    before, began = Cpu.now(), time.monotonic()
    result = run_cell(spec, directory)
    wall, used = time.monotonic() - began, Cpu.now().since(before)
    if result.verdict is not Verdict.PASS:
        raise BenchFailed(f"{result.cell.id}: {result.verdict}: {result.message}", where=str(directory))
    ready = sum(step.elapsed for step in result.steps if step.section == "prepare")
    answered = printed_at(directory, f"{domain}-command", ANSWER)
    return Start(answered, ready, used.children, used.own, wall, result, directory)


def make_template(spec: RunSpec, directory: Path, domain: str) -> None:
    """Make sure that there is a template for a warm cell. Raises BenchFailed when it cannot be used."""
    for name in ("made", "used"):
        (directory / name).mkdir(parents=True)
        if start(spec, directory / name, domain).template:
            return
    raise BenchFailed(f"{spec.cell.id} leaves no template that can be used", where=str(directory))


def printed_at(directory: Path, console: str, what: re.Pattern[bytes]) -> float:
    """Return when a line first came on a console that begins so, in seconds since its machine was made.

    Raises BenchFailed. What a template's consoles showed does not count: it is of another machine's time.
    """
    folder = directory / "console"
    log = (folder / f"{console}.log").read_bytes()
    for text in (folder / f"{console}.timeline.jsonl").read_text().splitlines():
        stamp = json.loads(text)
        if "template" not in stamp and what.match(log, stamp["offset"]):
            return float(stamp["t"])
    raise BenchFailed(f"{console} has no line /{what.pattern.decode()}/", where=str(directory))
