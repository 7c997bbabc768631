"""Kinds of events by name, as kernels trace them (tracefs), and what is read of a trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from base.errors import UsageError
from base.yamlmodel import suggest
from harness.steps.hcalls import HCALLS, TRACEFS

# The machine's own timebase: under KVM-PR a domU reads the same one as dom0, so that their times can be compared
# (Linux, arch/powerpc/kernel/trace_clock.c).
CLOCK = "ppc-tb"
# Of the buffers (KiB): a boot has some 4000 hypercalls and 130000 exits. A domU takes a minute to print 2 MiB.
SIZES = {"domu": 2048, "dom0": 16384}
# The same for a kernel that traces from its start (Linux, Documentation/admin-guide/kernel-parameters.txt).
BOOTED_TRACING = f"trace_clock={CLOCK} trace_buf_size={SIZES['domu']}K"
_LINE = re.compile(r"^.*\[(\d+)\] +\S+ +(\d+): (\w+): (.*)$", re.MULTILINE)
_WORD = re.compile(r"=([^ |]+)")


@dataclass(frozen=True)
class Kind:
    """A kind of event: whose kernel traces it, by which two events it begins and ends, and what one is called.

    `begins` and `ends` are paths below tracefs' `events`; `title` reads a
    name from what follows the first one, `summary` is for --help.
    """

    name: str
    where: Literal["domu", "dom0"]
    begins: str
    ends: str
    title: Callable[[str], str]
    summary: str

    @property
    def pair(self) -> tuple[str, str]:
        """The names of its events in a trace."""
        return self.begins.rpartition("/")[2], self.ends.rpartition("/")[2]


def _hcall(text: str) -> str:
    number = int(_WORD.findall(text)[0])
    return HCALLS.get(number, f"{number:#x}")


def _first(text: str) -> str:
    return str(_WORD.findall(text)[0])


def _last(text: str) -> str:
    """Return the last word (`irq=36 name=ttyPZ0`)."""
    return str(_WORD.findall(text)[-1])


KINDS = {
    kind.name: kind
    for kind in (
        Kind("hcall", "domu", "powerpc/hcall_entry", "powerpc/hcall_exit", _hcall, "a domU's hypercalls"),
        # From the guest's way out to its next way in (arch/powerpc/kvm/trace_pr.h).
        Kind("exit", "dom0", "kvm_pr/kvm_exit", "kvm_pr/kvm_book3s_reenter", _first, "exits of a domU to KVM-PR"),
        Kind("irq", "dom0", "irq/irq_handler_entry", "irq/irq_handler_exit", _last, "dom0's interrupts, by handler"),
        Kind(
            "timer",
            "dom0",
            "powerpc/timer_interrupt_entry",
            "powerpc/timer_interrupt_exit",
            lambda _: "timer",
            "dom0's timer interrupts",
        ),
    )
}


@dataclass(frozen=True)
class Span:
    """An event from its beginning to its end, in ticks of the timebase; `end` is None if the trace ended first."""

    kind: str
    name: str
    cpu: int
    begin: int
    end: int | None


def choose(words: str) -> list[Kind]:
    """Return the kinds that a list with commas names. Raises UsageError."""
    found = []
    for word in dict.fromkeys(words.split(",")):
        if word not in KINDS:
            raise UsageError(f"no kind of event '{word}'{suggest(word, list(KINDS))}")
        found.append(KINDS[word])
    return found


def begin_script(kinds: Sequence[Kind]) -> str:
    """Return what a domain runs to trace kinds that are its own; it fails where its kernel has no such event."""
    lines = [
        f"cd {TRACEFS}",
        "echo 0 >tracing_on",
        f"echo {CLOCK} >trace_clock",
        f"echo {SIZES[kinds[0].where]} >buffer_size_kb",
        "echo >trace",
    ]
    for kind in kinds:
        lines.append(
            f"[ -d events/{kind.begins} ] || {{ echo this kernel traces no {kind.name}: {kind.begins}; exit 1; }}"
        )
        lines += [f"echo 1 >events/{path}/enable" for path in (kind.begins, kind.ends)]
    return "set -e\n" + "\n".join([*lines, "echo 1 >tracing_on"])


def end_script(kinds: Iterable[Kind]) -> str:
    """Return what it runs to end tracing."""
    lines = [f"cd {TRACEFS}", "echo 0 >tracing_on"]
    for kind in kinds:
        lines += [f"echo 0 >events/{path}/enable" for path in (kind.begins, kind.ends)]
    return "set -e\n" + "\n".join(lines)


def read_script() -> str:
    """Return what it runs then to print what was traced, short: cpu, ticks, event, what follows; and what was lost."""
    # An exit's line is long, and all of it goes through an emulated console.
    short = r"s/^.*\(\[[0-9]*\]\) *[^ ]* *\([0-9]*: [^:]*: [^|]*\).*/\1 - \2/p"
    return f"set -e\ncd {TRACEFS}\nsed -n '{short}' trace\ncat per_cpu/cpu*/stats"


def spans(text: str, kinds: Iterable[Kind]) -> list[Span]:
    """Return the events of a trace, by the time when they began. What only ended in it is left out."""
    begins: dict[str, Kind] = {}
    ends: dict[str, Kind] = {}
    for kind in kinds:
        first, last = kind.pair
        begins[first], ends[last] = kind, kind
    open_: dict[tuple[str, int], tuple[str, int]] = {}
    found: list[Span] = []
    for match in _LINE.finditer(text):
        cpu, ticks, event, rest = int(match[1]), int(match[2]), match[3], match[4]
        if (kind_ := begins.get(event)) is not None:
            if (before := open_.pop((kind_.name, cpu), None)) is not None:
                found.append(Span(kind_.name, before[0], cpu, before[1], None))
            open_[kind_.name, cpu] = (kind_.title(rest), ticks)
        elif (kind_ := ends.get(event)) is not None and (before := open_.pop((kind_.name, cpu), None)) is not None:
            found.append(Span(kind_.name, before[0], cpu, before[1], ticks))
    found += [Span(kind, name, cpu, begin, None) for (kind, cpu), (name, begin) in open_.items()]
    return sorted(found, key=lambda span: span.begin)


@dataclass(frozen=True)
class Row:
    """A line of the table: how often, and how long together and at most, in seconds."""

    kind: str
    name: str
    count: int
    total: float
    longest: float

    @property
    def mean(self) -> float:
        """Seconds for each."""
        return self.total / self.count


def table(traced: Iterable[Span], frequency: int) -> list[Row]:
    """Return the events by kind and name, what takes longest first; `frequency` is the timebase's, in Hz."""
    times: dict[tuple[str, str], list[int]] = {}
    for span in traced:
        times.setdefault((span.kind, span.name), []).append((span.end or span.begin) - span.begin)
    rows = [
        Row(kind, name, len(each), sum(each) / frequency, max(each) / frequency) for (kind, name), each in times.items()
    ]
    order: Mapping[str, int] = {name: index for index, name in enumerate(KINDS)}
    return sorted(rows, key=lambda row: (order[row.kind], -row.total))
