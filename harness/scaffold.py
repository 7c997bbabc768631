"""New scenarios and platforms to begin with, which work as they are."""

from __future__ import annotations

import re
from pathlib import Path

from base.errors import UsageError
from harness.scenario import NAME
from harness.verbs import Verb, verbs
from sim.platform import FOLDER as PLATFORMS
from sim.platform import find_platform

SCENARIO = """\
# yaml-language-server: $schema={schema}
feature: {feature}
summary: {summary}
{domus}# What gets there: a failure here says nothing about the feature. Later cells take it from a template.
prepare:
  - boot-dom0
{prepare}# The feature's own steps: all verbs are in docs/scenarios.md, and `./testbed list verbs`.
steps:
{steps}"""
PLAIN = '  - run: {domain: dom0, command: uname -m, prints: "^ppc64"}\n'
WITH_DOMU = '  - run: {domain: u1, command: uname -m, prints: "^ppc64"}\n  - answers: dom0\n'


def new_scenario(path: Path, schema: str, *, feature: str, domu: bool) -> None:
    """Write a scenario that boots dom0, or a domU as well, and asks it something. Raises UsageError, OSError."""
    if not NAME.fullmatch(path.stem) or path.suffix != ".yaml":
        raise UsageError(f"{path.name} is no scenario's name", hint="small letters, digits, - and _, then .yaml")
    text = SCENARIO.format(
        schema=schema,
        feature=feature,
        summary=f"Say here in one sentence what {feature} means.",
        domus="domus: [u1]\n" if domu else "",
        prepare="  - create: u1\n  - boots: u1\n" if domu else "",
        steps=WITH_DOMU if domu else PLAIN,
    )
    _write(path, text)


def new_platform(name: str, like: str, folder: Path = PLATFORMS) -> Path:
    """Write a platform that is another one but for its name, and return its file. Raises UsageError, OSError."""
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no platform's name", hint="small letters, digits, - and _")
    find_platform(like)
    text = (PLATFORMS / f"{like}.yaml").read_text()
    text = re.sub(r"^name: .*$", f"name: {name}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^title: (.*)$", rf"title: {name}, made from \1", text, count=1, flags=re.MULTILINE)
    path = folder / f"{name}.yaml"
    _write(path, text)
    return path


def likely(words: str) -> list[Verb]:
    """Return the verbs whose names or help have one of the words."""
    wanted = words.lower().replace("-", " ").split()
    return [verb for verb in verbs().values() if any(word in f"{verb.name} {verb.summary}".lower() for word in wanted)]


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="choose another name") from None
    except FileNotFoundError:
        raise UsageError(f"cannot write {path}: its folder does not exist") from None
