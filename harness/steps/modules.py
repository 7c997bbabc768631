"""Verbs of loadable modules: a domain's kernel takes one in, gives it back, and refuses what is not its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.cell import Cell
from harness.steps.answering import DomainParams
from harness.verbs import StepFailed, verb

FOLDER = "/lib/modules"
# The state of a module whose initialisation has succeeded (kernel/module/procfs.c).
LIVE = "Live"


class ModuleParams(DomainParams):
    """Parameters of the verbs of modules: the module's name."""

    module: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


@verb("loads-module")
async def loads_module(cell: Cell, params: ModuleParams) -> str:
    """Load a module that was not loaded; /proc/modules and lsmod must then list it as live."""
    before = await _modules(cell, params)
    if params.module in before:
        raise StepFailed(f"{params.domain} has {params.module} loaded already")
    answer = await cell.run(params.domain, f"insmod {_file(params)}", params.within)
    if answer.status != 0:
        raise StepFailed(f"{params.domain} does not take {params.module} in: {answer.output.strip()}")
    state = (await _modules(cell, params)).get(params.module, "not listed")
    if state != LIVE:
        raise StepFailed(f"{params.domain} has loaded {params.module}, but it is {state} in /proc/modules")
    shown = await cell.run(params.domain, "lsmod", params.within)
    if not any(line.split()[:1] == [params.module] for line in shown.output.splitlines()):
        raise StepFailed(f"{params.domain}'s lsmod does not list {params.module}: {shown.output.strip()}")
    return state


@verb("unloads-module")
async def unloads_module(cell: Cell, params: ModuleParams) -> None:
    """Unload a module that was loaded; /proc/modules must no longer list it."""
    if params.module not in await _modules(cell, params):
        raise StepFailed(f"{params.domain} does not have {params.module} loaded")
    answer = await cell.run(params.domain, f"rmmod {params.module}", params.within)
    if answer.status != 0:
        raise StepFailed(f"{params.domain} does not let go of {params.module}: {answer.output.strip()}")
    if state := (await _modules(cell, params)).get(params.module):
        raise StepFailed(f"{params.domain} has unloaded {params.module}, but it is {state} in /proc/modules")


@verb("refuses-foreign-module")
async def refuses_foreign_module(cell: Cell, params: ModuleParams) -> str:
    """Load a module that says it was made for another kernel: it must be refused for that, and nothing loaded."""
    # The same length, so that nothing else of the file moves.
    script = f"""
        release=$(uname -r)
        module={_file(params)}
        sed "s/vermagic=$release /vermagic=0${{release#?}} /" $module >/tmp/foreign.ko
        cmp -s $module /tmp/foreign.ko && {{ echo "no version magic of $release in it"; exit 99; }}
        insmod /tmp/foreign.ko
        status=$?
        dmesg | grep "{params.module}: version magic '0" | tail -1
        exit $status
    """
    answer = await cell.run(params.domain, script, params.within)
    if answer.status == 99:
        raise StepFailed(f"{params.domain}: {answer.output.strip()}")
    if answer.status == 0 or params.module in await _modules(cell, params):
        raise StepFailed(f"{params.domain} has loaded a module of another kernel: {answer.output.strip()}")
    # A kernel that wants signatures (EKEYREJECTED) does not come to look at the version.
    if "version magic" not in answer.output and "Key was rejected" not in answer.output:
        raise StepFailed(f"{params.domain} refuses the module for another reason: {answer.output.strip()}")
    return answer.output.strip().splitlines()[-1]


def module_states(listing: str) -> dict[str, str]:
    """Return the states of the modules in /proc/modules by name (proc(5): name, size, uses, users, state, address)."""
    return {words[0]: words[4] for words in (line.split() for line in listing.splitlines()) if len(words) >= 6}


def _file(params: ModuleParams) -> str:
    return f"$(find {FOLDER} -name {params.module}.ko)"


async def _modules(cell: Cell, params: ModuleParams) -> dict[str, str]:
    answer = await cell.run(params.domain, "cat /proc/modules", params.within)
    if answer.status != 0:
        raise StepFailed(f"{params.domain}'s kernel has no loadable modules: {answer.output.strip()}")
    return module_states(answer.output)
