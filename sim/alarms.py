"""Lines by which a console tells that a kernel has died or is dying (the data is in `alarms.yaml`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from base.errors import InfraError
from base.yamlmodel import Model, parse, validate

DATA = Path(__file__).with_name("alarms.yaml")


class AlarmRule(Model):
    """One kind of alarm: a line that has one of `contains` in it and matches `pattern`, if there is one."""

    name: str
    contains: tuple[str, ...]
    pattern: str = ""


@dataclass(frozen=True)
class Alarm:
    """A line that a healthy kernel does not print. `excerpt` is that line and what came after it."""

    name: str
    line: str
    excerpt: str


@dataclass(frozen=True)
class FoundAlarm:
    """An alarm in a block of lines: `offset` is where its line begins."""

    name: str
    line: bytes
    offset: int


@cache
def linux_alarms() -> tuple[AlarmRule, ...]:
    """Return the alarms of any Linux console. Raises InfraError when the file holds no list, YamlError."""
    document = parse(DATA)
    if not isinstance(document.data, list):
        raise InfraError(f"{DATA} is not a list of alarms")
    return tuple(validate(document, AlarmRule, loc=(index,), data=item) for index, item in enumerate(document.data))


@cache
def _compiled(rules: tuple[AlarmRule, ...]) -> tuple[tuple[str, tuple[bytes, ...], re.Pattern[bytes]], ...]:
    return tuple(
        (rule.name, tuple(text.encode() for text in rule.contains), re.compile(rule.pattern.encode())) for rule in rules
    )


def find_alarm(block: bytes, rules: tuple[AlarmRule, ...]) -> FoundAlarm | None:
    """Return the first alarm in a block of whole lines, None if there is none."""
    found: FoundAlarm | None = None
    # Plain substrings first: a console may pour out tens of megabytes, and almost none of it alarms.
    for name, literals, pattern in _compiled(rules):
        for literal in literals:
            at = block.find(literal)
            while at >= 0:
                start = block.rfind(b"\n", 0, at) + 1
                end = block.find(b"\n", at)
                line = block[start : end if end >= 0 else len(block)]
                if pattern.search(line):
                    if found is None or start < found.offset:
                        found = FoundAlarm(name, line, start)
                    break
                at = block.find(literal, at + 1)
    return found
