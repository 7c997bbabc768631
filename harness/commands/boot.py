"""`testbed boot`: a person's console on a simulated machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from base.errors import EXIT_OK, UsageError
from base.yamlmodel import suggest
from harness.cell import Cell
from harness.display import Display
from harness.domain import DomainConfig
from harness.hypervisor import load_hypervisors
from harness.plan import Choice, PlannedCell, plan
from harness.resolve import resolve
from harness.runspec import OwnFile, RunSpec
from harness.scenario import Scenario
from harness.scratch import scratch
from harness.specs import make_spec
from results.journal import Journal
from sim.console import Console
from sim.machine import Machine
from sim.platform import DOM0, find_platform
from sim.terminal import join, raw_terminal, require_terminal

DOMU = "u1"
# What a person's boot may take before we say that it hangs (s of a calm host).
DOM0_WITHIN = 120.0
DOMU_WITHIN = 120.0
LEAVE_HINT = "leave with Ctrl-]"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `testbed boot`."""
    made = argparse.ArgumentParser(
        prog="testbed boot",
        description="Switch a simulated machine on and join this terminal to its console. Leave with Ctrl-].",
        epilog="examples:  ./testbed boot g5\n"
        "           ./testbed boot pseries-970 --domu        straight into a guest's console\n"
        "           ./testbed boot g5 --kernel ./vmlinux     your own kernel",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("platform", help="see `./testbed list platforms`")
    made.add_argument("-H", "--hypervisor", help="default: the first one of the platform")
    made.add_argument("-k", "--kernel", help="kernel column, or your own vmlinux (default: the hypervisor's last)")
    made.add_argument("--initrd", type=Path, help="your own initramfs (then nothing is known of what is in it)")
    made.add_argument("--append", default="", help="more arguments for the kernel")
    made.add_argument("--firmware", help="the platform's firmware, e.g. vof on pseries-970")
    made.add_argument(
        "--qemu", metavar="Q", help="the QEMU that simulates: a version (`list qemus`), or your own build"
    )
    made.add_argument("--domu", action="store_true", help="create a domU and join its console")
    made.add_argument("--gdb", action="store_true", help="wait for a debugger before the first instruction")
    return made


def main(argv: Sequence[str]) -> int:
    """Boot a machine for a person; returns 0 when they left or switched it off. Raises UsageError, InfraError."""
    options = parser().parse_args(argv)
    find_platform(options.platform)
    choice = Choice(
        options.platform, options.hypervisor, options.kernel, options.firmware, options.append, qemu=options.qemu
    )
    choice.check()
    if options.initrd is not None and not options.initrd.is_file():
        raise UsageError(f"no initramfs {options.initrd}", hint="check the path")
    if options.initrd is not None and options.domu:
        raise UsageError("--domu needs the test bed's own initramfs", hint="leave out --initrd or --domu")
    scenario = Scenario(name="boot", feature="boot", summary="", domus=(DOMU,) if options.domu else (), steps=())
    cell = _choose(plan([scenario], choice), options)
    with Display("boot") as display:
        spec = make_spec(cell, "boot", display.report)
    if options.initrd is not None:
        spec = _with_initrd(spec, options.initrd)
    require_terminal()
    with scratch() as folder:
        return asyncio.run(_boot(spec, folder, options))


def _choose(cells: Sequence[PlannedCell], options: argparse.Namespace) -> PlannedCell:
    there = [h for h in load_hypervisors().values() if options.platform in h.platforms]
    if options.hypervisor and options.hypervisor not in (hypervisor.name for hypervisor in there):
        known = [hypervisor.name for hypervisor in there]
        raise UsageError(f"{options.hypervisor} does not run on {options.platform}{suggest(options.hypervisor, known)}")
    if not cells:
        known = [name for hypervisor in there for name in hypervisor.kernels]
        raise UsageError(f"{options.platform} has no kernel '{options.kernel}'{suggest(options.kernel or '', known)}")
    return [cell for cell in cells if cell.hypervisor.name == cells[0].hypervisor.name][-1]


def _with_initrd(spec: RunSpec, initrd: Path) -> RunSpec:
    from base.files import sha256_file  # noqa: PLC0415  (lazy: rarely asked for)

    own = OwnFile(path=initrd.absolute(), sha256=sha256_file(initrd))
    return spec.model_copy(update={"initrd": own})


async def _boot(spec: RunSpec, folder: Path, options: argparse.Namespace) -> int:
    resolved = resolve(spec)
    gdb = folder / "gdb"
    with Journal(folder) as journal:
        async with AsyncExitStack() as stack:
            cell = Cell(
                spec,
                folder,
                journal,
                stack,
                fact=journal.fact,
                qemu=resolved.qemu,
                kernel=resolved.kernel,
                initrd=resolved.initrd,
                hypervisor=resolved.hypervisor,
                args=("-gdb", f"unix:{gdb},server=on,wait=off", "-S") if options.gdb else (),
                may_reboot=True,
            )
            _say(f"{spec.platform.title}; {LEAVE_HINT}")
            if options.gdb:
                _say(f"waiting for a debugger: gdb {resolved.kernel} -ex 'target remote {gdb}'")
            machine = await cell.start_machine()
            if options.domu:
                await _to_domu(cell)
            else:
                await _meet(machine.console, machine)
    return EXIT_OK


async def _to_domu(cell: Cell) -> None:
    """Create a domU, telling how far it is, and join its console."""
    machine = cell.machine
    _say("dom0 boots ... (Ctrl-C ends it)")
    await cell.wait("dom0 opens its command channel", machine.command.hello(), DOM0_WITHIN)
    await cell.wait("dom0 answers", machine.command.challenge(), DOM0_WITHIN)
    _say(f"dom0 is ready with {cell.hypervisor.title}; domU {DOMU} boots ...")
    config = DomainConfig(name=DOMU, memory=cell.hypervisor.domu.memory)
    domain = await cell.wait(f"{DOMU} is created", cell.toolstack.create(cell, config, cell.host(DOM0)), DOMU_WITHIN)
    cell.domains[DOMU] = domain
    await _meet(domain.console, machine)
    if domain.ended.done():
        _say(f"{DOMU} ended: {domain.ended.result()}")


async def _meet(console: Console, machine: Machine) -> None:
    """Join the console until the person leaves, the machine is switched off, or QEMU fails (then it raises)."""
    # Raw only while joined: before that, Ctrl-C has to end a boot that takes too long.
    with raw_terminal():
        joined = asyncio.create_task(join(console))
        switched_off = asyncio.create_task(machine.qmp.event("SHUTDOWN"))
        await asyncio.wait({joined, switched_off, machine.process.exited}, return_when=asyncio.FIRST_COMPLETED)
        for task in (joined, switched_off):
            task.cancel()
            await asyncio.wait({task})
    if not joined.cancelled():
        joined.result()
    if not switched_off.cancelled():
        _say("the machine was switched off")
    elif machine.process.exited.done():
        raise machine.process.exited.result().error()


def _say(text: str) -> None:
    sys.stdout.write(f"\x1b[1m[testbed]\x1b[0m {text}\r\n")
    sys.stdout.flush()
