"""`warm-dom0`, `warm-domu`: a start from a template against a boot, and a boot against bare QEMU."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from bench import bare, cells
from bench.context import Context
from bench.model import Measure, Profile, ratio, rounded
from bench.phases import phases_of

# What issue and README promise of a domain that answers: warm over cold.
ASKED = {("dom0", "g5"): 0.10, ("dom0", "pseries-970"): 0.08, ("domU", "g5"): 0.08, ("domU", "pseries-970"): 0.08}
DOM0_TIMES, DOMU_TIMES = 5, 3


@dataclass
class _Samples:
    cold: list[cells.Start] = field(default_factory=list)
    warm: list[cells.Start] = field(default_factory=list)
    bare: list[bare.Bare] = field(default_factory=list)
    phases: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {"cold": [], "warm": []})


def warm_dom0(context: Context) -> None:
    """Measure starts of dom0 on each platform."""
    for platform in context.platforms:
        _measure(context, platform, domu=False, times=context.times(DOM0_TIMES))


def warm_domu(context: Context) -> None:
    """Measure starts of a domU on each platform: dom0, its creation, and its own boot."""
    for platform in context.platforms:
        _measure(context, platform, domu=True, times=context.times(DOMU_TIMES))


def _measure(context: Context, platform: str, *, domu: bool, times: int) -> None:
    scenario, domain = ("bench-domu", "u1") if domu else ("bench-dom0", "dom0")
    warm, cold = (cells.spec_of(scenario, platform, cold=cold) for cold in (False, True))
    with context.place("template") as folder:
        context.tell(f"{platform}: the template")
        cells.make_template(warm, folder, domain)
    found = _Samples()
    for number in range(1, times + 1):
        # Each in turn, so that what else the host does falls upon all of them alike.
        with context.place(f"{scenario}-{platform}") as folder:
            context.tell(f"{platform}: {number} of {times}, cold")
            (folder / "cold").mkdir()
            found.cold.append(cells.start(cold, folder / "cold", domain))
            found.phases["cold"].append(phases_of(found.cold[-1], domain))
            context.tell(f"{platform}: {number} of {times}, bare QEMU")
            found.bare.append(bare.start(folder / "cold" / "qemu.cmdline", cold, domu=domu))
            context.tell(f"{platform}: {number} of {times}, warm")
            (folder / "warm").mkdir()
            found.warm.append(cells.start(warm, folder / "warm", domain))
            found.phases["warm"].append(phases_of(found.warm[-1], domain))
    _tell(context, platform, "domU" if domu else "dom0", found)


def _tell(context: Context, platform: str, domain: str, found: _Samples) -> None:
    bench = f"warm-{domain.lower()}"
    series = {
        name: {what: [getattr(sample, what) for sample in getattr(found, name)] for what in fields}
        for name, fields in (
            ("cold", ("answered", "ready", "cpu", "own")),
            ("warm", ("answered", "ready", "cpu", "own")),
            ("bare", ("answered", "cpu")),
        )
    }
    samples = {
        f"{name}.{what}.s": rounded(values) for name, fields in series.items() for what, values in fields.items()
    }
    cold, warm, hand = series["cold"], series["warm"], series["bare"]

    def add(what: str, over: list[float], under: list[float], asked: float | None = None) -> None:
        note = f"{median(over):.2f} s / {median(under):.2f} s"
        kept = samples if asked is not None else {}
        measure = Measure(bench=bench, what=f"{platform}: {what}", got=ratio(over, under), asked=asked, note=note)
        context.add(measure.model_copy(update={"samples": kept}))

    add(f"warm {domain} answers / cold", warm["answered"], cold["answered"], ASKED[domain, platform])
    add("ready for its first step, warm / cold", warm["ready"], cold["ready"])
    add("CPU time of QEMU, warm / cold", warm["cpu"], cold["cpu"])
    add("cold, harness / bare QEMU", cold["answered"], hand["answered"])
    add("CPU time of QEMU, cold, harness / bare", cold["cpu"], hand["cpu"])
    for kind in ("cold", "warm"):
        context.profiles.append(
            Profile(platform=platform, domain=domain, start=kind, phases=_medians(found.phases[kind]))
        )


def _medians(samples: list[dict[str, float]]) -> tuple[dict[str, object], ...]:
    return tuple({"what": what, "seconds": round(median(sample[what] for sample in samples), 3)} for what in samples[0])
