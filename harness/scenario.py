"""Scenario files: a feature, its steps, what it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from base.errors import UsageError
from base.paths import PROJECT
from base.yamlmodel import Document, Loc, Model, YamlError, parse, suggest, validate
from harness.verbs import StepParams, verbs
from results.model import Word
from sim.platform import DOM0

FOLDER = PROJECT / "scenarios"
# Cells and their folders are named after scenarios (results.model.Word).
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Step(Model):
    """One verb with its parameters. `title` is how people read it."""

    verb: str
    title: str
    params: dict[str, Any]


class MachineWish(Model):
    """What a scenario wants of dom0's machine beyond the platform's own: CPUs, memory (at
    least so much) and a shared disk in MiB.

    With a `screen` it has one, if the platform can. `boot` says who loads dom0's kernel: QEMU (`kernel`), or a boot
    loader that the firmware finds on a `disk`.
    """

    cpus: int = Field(default=0, ge=0)
    memory: int = Field(default=0, ge=0)
    shared_disk: int = Field(default=0, ge=0)
    screen: bool = False
    boot: Literal["kernel", "disk"] = "kernel"


class ScenarioFile(Model):
    """The keys of a scenario file; the steps are read by their verbs' own models."""

    feature: Word
    summary: str
    platforms: tuple[str, ...] | None = None
    hypervisors: tuple[str, ...] | None = None
    needs: tuple[Word, ...] = ()
    hosts: tuple[Word, ...] = Field(default=(DOM0,), min_length=1, max_length=2)
    machine: MachineWish = MachineWish()
    domus: tuple[Word, ...] = ()
    checklist: bool = False
    debugger: bool = False
    cold: bool = False
    prepare: list[Any] = Field(default_factory=list)
    steps: list[Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> ScenarioFile:
        if self.hosts[0] != DOM0:
            raise ValueError(f"the first of `hosts` is called {DOM0}")
        names = [*self.hosts, *self.domus]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two domains are called {', '.join(twice)}")
        return self


class Scenario(Model):
    """A scenario: `prepare` gets there, `steps` are the feature's own (they alone make `close`).

    `domus` names the guests it creates, `hosts` the dom0s, each on a machine of its own. `platforms` and
    `hypervisors` limit where it applies (None: all), `needs` to hypervisors that offer these things to a domU. Each
    step of a `checklist` stands for itself: one that fails does not end the scenario. One with a `debugger` has a gdb
    at hand. One that is `cold` is about booting: its preparation is never taken from a template.
    """

    name: str
    feature: str
    summary: str
    platforms: tuple[str, ...] | None = None
    hypervisors: tuple[str, ...] | None = None
    needs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = (DOM0,)
    machine: MachineWish = MachineWish()
    domus: tuple[str, ...] = ()
    checklist: bool = False
    debugger: bool = False
    cold: bool = False
    prepare: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises YamlError with every problem as `file:line:column`, UsageError."""
    document, file = _read(path)
    problems: list[str] = []
    sections = {
        section: tuple(
            step
            for index, entry in enumerate(getattr(file, section))
            if (step := _step(document, (section, index), entry, (*file.hosts, *file.domus), problems)) is not None
        )
        for section in ("prepare", "steps")
    }
    if problems:
        raise YamlError(problems, hint="every verb and its parameters: docs/scenarios.md")
    return _head(path, file).model_copy(update=sections)


def load_head(path: Path) -> Scenario:
    """Read a scenario without its steps, which is quicker. Raises YamlError, UsageError."""
    return _head(path, _read(path)[1])


def load_heads(folder: Path = FOLDER) -> dict[str, Scenario]:
    """Read all scenarios of a folder without their steps, by name. Raises YamlError, UsageError."""
    return {path.stem: load_head(path) for path in sorted(folder.glob("*.yaml"))}


def load_scenarios(folder: Path = FOLDER) -> dict[str, Scenario]:
    """Read all scenarios of a folder, by name. Raises YamlError."""
    return {path.stem: load_scenario(path) for path in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of a scenario given by name or path. Raises UsageError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise UsageError(f"no scenario file {name}", hint="`./testbed list scenarios` shows those that there are")
        return path
    known = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise UsageError(f"no scenario '{name}'{suggest(name, list(known))}")
    return known[name]


def _read(path: Path) -> tuple[Document, ScenarioFile]:
    if not NAME.fullmatch(path.stem):
        raise UsageError(
            f"{path}: a scenario's name must be small letters, digits, - and _",
            hint="rename the file: it names the cells",
        )
    document = parse(path)
    if not isinstance(document.data, dict):
        raise YamlError([f"{path}:1:1: a scenario is a mapping with the keys feature, summary, steps"])
    return document, validate(document, ScenarioFile)


def _head(path: Path, file: ScenarioFile) -> Scenario:
    return Scenario(
        name=path.stem,
        feature=file.feature,
        summary=file.summary,
        platforms=file.platforms,
        hypervisors=file.hypervisors,
        needs=file.needs,
        hosts=file.hosts,
        machine=file.machine,
        domus=file.domus,
        checklist=file.checklist,
        debugger=file.debugger,
        cold=file.cold,
    )


def _step(document: Document, loc: Loc, entry: Any, domains: tuple[str, ...], problems: list[str]) -> Step | None:
    """Read the step that stands at `loc`; what is wrong with it is added to `problems`."""
    place = document.place(loc)
    if isinstance(entry, str):
        name, given = entry, None
    elif isinstance(entry, dict) and len(entry) == 1:
        name, given = next(iter(entry.items()))
    else:
        problems.append(f"{place}: a step is one verb, alone or as `verb: parameters`")
        return None
    known = verbs()
    if name not in known:
        problems.append(f"{document.place((*loc, name))}: unknown verb '{name}'{suggest(name, list(known))}")
        return None
    verb = known[name]
    if given is None or isinstance(given, dict):
        data = given or {}
    elif verb.shorthand:
        data = {verb.shorthand: given}
    else:
        problems.append(
            f"{document.place((*loc, name))}: verb '{name}' takes its parameters by name"
            f"{suggest('', [info.alias or key for key, info in verb.params.model_fields.items()])}"
        )
        return None
    try:
        params: StepParams = validate(document, verb.params, loc=(*loc, name), data=data)
    except YamlError as error:
        problems += error.problems
        return None
    for field in ("domain", "peer", "host", "to"):
        domain = getattr(params, field, None)
        if domain is not None and domain not in domains:
            where = document.place((*loc, name, field))
            problems.append(f"{where}: no domain '{domain}'{suggest(domain, list(domains))} (name it under `domus:`)")
            return None
    shown = given if isinstance(given, str | int | float) else getattr(params, "domain", None)
    return Step(
        verb=name,
        title=f"{name} {shown}" if shown is not None else name,
        params=params.model_dump(mode="json", by_alias=True),
    )
