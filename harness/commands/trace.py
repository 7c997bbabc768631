"""`testbed trace`: what a domU asks of its hypervisor, and what that does, counted, timed and drawn."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from base.errors import EXIT_OK, TestbedError, UsageError
from harness.display import Display
from harness.live.folders import live_folder
from harness.live.session import live_session
from harness.live.wish import DOMU, SCENARIOS, WITH_DOMU, Wish, add_arguments, wish
from harness.runspec import RunSpec
from harness.scenario import Scenario, Step, find_scenario, load_scenario
from harness.specs import make_spec
from harness.tracing.events import KINDS, Kind, choose, table
from harness.tracing.picture import picture
from harness.tracing.tracer import Traced, Tracer, traced
from harness.verbs import verbs
from sim.platform import load_platforms

DEFAULT, BOOT = "g5", "trace-boot"
PICTURE = "trace.svg"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed trace`."""
    told = "\n".join(f"  {kind.name:6} {kind.summary}" for kind in KINDS.values())
    made = argparse.ArgumentParser(
        prog="testbed trace",
        description="Trace a domU's boot, a command in it, or the steps of a scenario: hypercalls as the domU's\n"
        "kernel and its QEMU see them, exits and interrupts as dom0's kernel does, KVM's own counters; as a table and\n"
        "a picture with a timeline. Times are by the timebase that dom0 and domU share.\n\n"
        f"events:\n{told}",
        epilog="examples:  ./testbed trace g5                                  a domU's boot\n"
        "           ./testbed trace pseries-970 --run 'sync; ls /'      a command in a domU\n"
        "           ./testbed trace virtual-disk -p g5 --events exit    the steps of a scenario",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("target", help="a platform, or a scenario (by name or file)")
    made.add_argument("-p", "--platform", metavar="NAME", default=DEFAULT, help="of a scenario (default: %(default)s)")
    made.add_argument("--events", metavar="LIST", default=",".join(KINDS), help="(default: %(default)s)")
    made.add_argument("--run", metavar="CMD", help="trace this command in a domU that runs")
    made.add_argument("--svg", metavar="F", type=Path, help="the picture (default: in the folder of the evidence)")
    add_arguments(made, domu=False)
    return made


def main(argv: Sequence[str]) -> int:
    """Trace; returns 0. Raises UsageError for bad input, and what steps raise once the trace has been shown."""
    options = parser().parse_args(argv)
    kinds = choose(options.events)
    on_platform = options.target in load_platforms()
    if on_platform:
        options.platform = options.target
    elif options.run is not None:
        raise UsageError("--run is for a platform; a scenario has steps of its own")
    steps = _scenario(options.run) if on_platform else load_scenario(find_scenario(options.target))
    if len(steps.hosts) > 1:
        raise UsageError(f"{steps.name} has two machines", hint="trace a scenario with one")
    wanted: Wish = replace(wish(options), own=traced(steps, kinds))
    with Display("trace") as display:
        spec = wanted.adapt(make_spec(wanted.plan(), "trace", display.report))
    with live_folder(f"trace-{spec.platform.name}") as folder:
        asyncio.run(_trace(spec, folder, wanted, kinds, options.svg or folder / PICTURE))
        print(f"evidence: {folder}")
    return EXIT_OK


def _scenario(command: str | None) -> Scenario:
    """Return what is traced on a platform: a domU that boots, or a command in one that has."""
    if command is None:
        return load_scenario(SCENARIOS / f"{BOOT}.yaml")
    params = verbs()["run"].params.model_validate({"domain": DOMU, "command": command})
    step = Step(verb="run", title=f"run {command}", params=params.model_dump(mode="json", by_alias=True))
    return load_scenario(SCENARIOS / f"{WITH_DOMU}.yaml").model_copy(update={"steps": (step,)})


async def _trace(spec: RunSpec, folder: Path, wanted: Wish, kinds: Sequence[Kind], target: Path) -> None:
    async with live_session(spec, folder, wanted.devices) as session:
        await session.prepare()
        tracer = Tracer(session.cell, kinds)
        try:
            await tracer.look()
            for step in spec.scenario.steps:
                print(f"  {step.title}", flush=True)
                await session.do(step.verb, step.params)
                await tracer.look()
        except TestbedError as error:
            # Told now: if the traces cannot be read either, that would be all that is heard.
            print(f"failed: {error}", flush=True)
            raise
        finally:
            print("reading the traces: a long one takes a minute", flush=True)
            found = await tracer.end()
            _show(found)
            _draw(f"{spec.scenario.name} on {spec.platform.name}", found, target)


def _draw(title: str, found: Traced, target: Path) -> None:
    target.write_text(picture(title, found.spans, found.frequency))
    print(f"picture:  {target}")


def _show(found: Traced) -> None:
    console = Console()
    shown = Table("event", "what", "count", "total ms", "mean us", "longest us", box=None, header_style="bold")
    for column in shown.columns[2:]:
        column.justify = "right"
    for row in table(found.spans, found.frequency):
        times = (f"{row.total * 1e3:.2f}", f"{row.mean * 1e6:.1f}", f"{row.longest * 1e6:.1f}")
        shown.add_row(row.kind, row.name, str(row.count), *times)
    console.print(shown)
    for name, risen in found.counters.items():
        told = ", ".join(f"{counter} {count}" for counter, count in sorted(risen.items()) if count)
        console.print(f"KVM's counters for {name}: {told}", highlight=False, soft_wrap=True)
    for name, both in found.agreed.items():
        told = ", ".join(f"{call} {count}" for call, count in both.counts.most_common())
        console.print(
            f"{name}: its kernel and its QEMU in dom0 agree on {both.counts.total()} hypercalls: {told} "
            f"(QEMU saw {both.before} more before, {both.after} after)",
            highlight=False,
            soft_wrap=True,
        )
    for remark in found.remarks:
        console.print(f"note: {remark}", highlight=False, soft_wrap=True)
