"""Verbs of a real gdb at a domain: what it reads, writes, stops and steps must be what the domain is and does."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from harness.attached import attached, banner_of
from harness.cell import Cell
from harness.gdb import KERNEL_START, MSR_IR, MSR_PR, Gdb, Stop
from harness.powerpc import next_pc
from harness.steps.answering import DomainParams
from harness.verbs import Seconds, StepFailed, verb
from sim.stub import registers as registers_by_qemu

# A bit of the machine state register (Power ISA, Book III): 64-bit mode.
MSR_SF = 1 << 63
# What the structure of a Linux UTS namespace takes at most, its six names of 65 bytes first.
UTS_SIZE = 400
HIT, STEPPED = "breakpoint-hit", "end-stepping-range"
_HEX = r"([0-9a-f]+)"


class DebuggerParams(DomainParams):
    """Parameters of verbs that attach gdb to a domain."""

    within: Seconds = 60.0


class BreakParams(DebuggerParams):
    """Parameters of `debugger-breaks`.

    `at` is a function of the kernel; `command` makes the domain go there;
    `callers` are the functions that must have called it, the nearest first, as shell patterns.
    """

    at: str = "sys_sethostname"
    command: str = 'hostname "$(hostname)"'
    callers: tuple[str, ...] = ("system_call_exception", "system_call*_common")


class StepsParams(BreakParams):
    """Parameters of `debugger-steps`: so many single steps from the breakpoint."""

    count: Annotated[int, Field(gt=0)] = 24
    callers: tuple[str, ...] = ()


@verb("debugger-registers", shorthand="domain")
async def debugger_registers(cell: Cell, params: DebuggerParams) -> str:
    """Attach gdb to a domain: it stops, its registers in gdb are those that QEMU has, and it goes on."""
    qmp = cell.qmp(params.domain)

    async def look(gdb: Gdb, stop: Stop) -> str:
        state = str((await qmp.execute("query-status"))["status"])
        if state == "running":
            raise StepFailed(f"gdb is attached to {params.domain}, but that runs on")
        mine, theirs = await gdb.registers(), read_registers(await registers_by_qemu(qmp))
        wrong = [f"{name} is {mine[name]:#x}, not {value:#x}" for name, value in theirs.items() if mine[name] != value]
        if wrong:
            raise StepFailed(f"gdb's registers of {params.domain} are not QEMU's: {'; '.join(wrong)}")
        if mine["pc"] != stop.address or not mine["msr"] & MSR_SF:
            raise StepFailed(f"{params.domain} stopped at {stop.address:#x}, pc {mine['pc']:#x}, msr {mine['msr']:#x}")
        if mine["msr"] & MSR_PR:
            return f"{len(theirs)} registers, stopped in a program"
        # With address translation off, a kernel runs at the physical addresses of its code.
        symbol = await gdb.symbol(mine["pc"] if mine["msr"] & MSR_IR else mine["pc"] | KERNEL_START)
        if not symbol:
            raise StepFailed(f"{params.domain} stopped in its kernel at {mine['pc']:#x}, where gdb knows no symbol")
        return f"{len(theirs)} registers, stopped in {symbol}"

    return await _debug(cell, params, look)


@verb("debugger-memory", shorthand="domain")
async def debugger_memory(cell: Cell, params: DebuggerParams) -> str:
    """Read a domain's kernel memory with gdb and write to it: the domain must have said, and then say, the same."""
    shell = cell.shell(params.domain)
    before, written, given = "", f"w{secrets.token_hex(5)}", f"r{secrets.token_hex(5)}"

    async def touch(gdb: Gdb, _: Stop) -> str:
        async with gdb.as_kernel():
            found = await banner_of(gdb)
            names = await gdb.evaluate("&init_uts_ns")
            at = (await gdb.read(names, UTS_SIZE)).find(given.encode() + b"\0")
            if at >= 0:
                await gdb.write(names + at, written.encode())
        if found != banner:
            raise StepFailed(f"gdb reads {found[:80]!r} at linux_banner, {params.domain} says {banner[:80]!r}")
        if at < 0:
            raise StepFailed(f"gdb does not find {params.domain}'s host name {given} at init_uts_ns")
        return f"{len(found)} bytes of {found.split()[2]} and a host name"

    async def name(command: str) -> str:
        answer = await shell.run(command)
        if answer.status != 0:
            raise StepFailed(f"{params.domain}: `{command}`: {answer.output.strip()}")
        return answer.output.strip()

    def within(command: str) -> Awaitable[str]:
        return cell.wait(f"{params.domain} runs `{command}`", name(command), params.within, domain=params.domain)

    before, banner = await within("hostname"), await within("cat /proc/version")
    await within(f"hostname {given}")
    remark = await _debug(cell, params, touch)
    after = await within("hostname")
    await within(f"hostname {before}")
    if after != written:
        raise StepFailed(f"gdb wrote the host name {written}, but {params.domain} is called {after}")
    return remark


@verb("debugger-breaks", shorthand="domain")
async def debugger_breaks(cell: Cell, params: BreakParams) -> str:
    """Set a breakpoint in a domain's kernel and let a command run into it: it stops there, called as it should be."""

    async def look(gdb: Gdb) -> str:
        frames = await gdb.frames()
        called_by = frames[1 : 1 + len(params.callers)]
        if len(called_by) < len(params.callers) or not all(map(fnmatchcase, called_by, params.callers)):
            raise StepFailed(f"{params.domain} is in {' < '.join(frames)}, not called by {' < '.join(params.callers)}")
        return " < ".join(frames)

    return await _debug(cell, params, _into(cell, params, look))


@verb("debugger-steps", shorthand="domain")
async def debugger_steps(cell: Cell, params: StepsParams) -> str:
    """Step a domain's kernel instruction by instruction from a breakpoint: each goes where the instruction says."""

    async def step(gdb: Gdb) -> str:
        jumps = 0
        state = await gdb.registers()
        for number in range(1, params.count + 1):
            pc = state["pc"]
            word = int.from_bytes(await gdb.read(pc, 4), cell.identity(params.domain).order)
            wanted = next_pc(word, state)
            await gdb.command("-exec-step-instruction")
            stop, state = await gdb.stopped(), await gdb.registers()
            if stop.reason != STEPPED or state["pc"] != wanted:
                raise StepFailed(
                    f"{params.domain}: step {number}, {word:#010x} at {pc:#x}, leads to {state['pc']:#x} "
                    f"({stop.reason}), not to {wanted:#x}"
                )
            jumps += wanted != pc + 4
        return f"{params.count} steps, {jumps} of them jumps, to {stop.function}"

    return await _debug(cell, params, _into(cell, params, step))


def read_registers(text: str) -> dict[str, int]:
    """Read what QEMU's monitor prints for `info registers`, by gdb's names. Raises StepFailed."""
    names = {"pc": "NIP", "lr": "LR", "ctr": "CTR", "xer": "XER", "msr": "MSR", "cr": "CR"}
    found = {name: re.search(rf"\b{theirs} +{_HEX}\b", text) for name, theirs in names.items()}
    values = {name: int(match[1], 16) for name, match in found.items() if match}
    for match in re.finditer(rf"\bGPR(\d\d)((?: {_HEX})+)", text):
        values |= {f"r{int(match[1]) + index}": int(word, 16) for index, word in enumerate(match[2].split())}
    if len(values) != len(names) + 32:
        raise StepFailed(f"QEMU does not tell all registers: {text}")
    return values


async def _debug(cell: Cell, params: DebuggerParams, work: Callable[[Gdb, Stop], Awaitable[str]]) -> str:
    """Attach gdb, do `work`, detach; the domain must then answer."""

    async def session() -> str:
        async with attached(cell, params.domain) as (gdb, stop):
            remark = await work(gdb, stop)
        await cell.shell(params.domain).challenge()
        return remark

    return await cell.wait(f"gdb at {params.domain}", session(), params.within, domain=params.domain)


def _into(
    cell: Cell, params: BreakParams, work: Callable[[Gdb], Awaitable[str]]
) -> Callable[[Gdb, Stop], Awaitable[str]]:
    """Return what lets the command run into the breakpoint, does `work` there, and lets the command end."""

    async def run(gdb: Gdb, _: Stop) -> str:
        async with gdb.as_kernel():
            number, address = await gdb.insert(params.at)
        await gdb.command("-exec-continue")
        command = asyncio.create_task(cell.shell(params.domain).run(params.command))
        stopped = asyncio.create_task(gdb.stopped())
        try:
            await asyncio.wait({command, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                command.result()
                raise StepFailed(f"{params.domain} ran `{params.command}` and never came to {params.at}")
            stop = stopped.result()
            if (stop.reason, stop.breakpoint, stop.address) != (HIT, number, address):
                raise StepFailed(
                    f"{params.domain} stopped at {stop.address:#x} ({stop.reason}), not at {params.at}, {address:#x}"
                )
            # Under KVM it is a word in memory, in the place of the instruction that is looked at.
            await gdb.delete(number)
            remark = await work(gdb)
            await gdb.detach()
            answer = await command
        finally:
            for task in (command, stopped):
                task.cancel()
            await asyncio.wait({command, stopped})
        if answer.status != 0:
            raise StepFailed(f"`{params.command}` ended with {answer.status} after the debugger: {answer.output}")
        return remark

    return run
