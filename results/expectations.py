"""Known differences between what is and what should be: strict, reasoned, and with an end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import Field, field_validator, model_validator

from base.errors import EXIT_INFRA, EXIT_OK, EXIT_UNEXPECTED
from base.yamlmodel import Model, load
from results.model import CellId, Reason, Scalar, Section, StepResult, Summary, Verdict

DEFAULT = Path(__file__).with_name("expectations.yaml")
NUMBERS = re.compile(r"\d+(\.\d+)*")

Pattern = str | list[str]


def matches(pattern: Pattern, value: str) -> bool:
    """Return whether a value fits a shell pattern, or one of several."""
    return any(fnmatchcase(value, one) for one in ([pattern] if isinstance(pattern, str) else pattern))


class CellPattern(Model):
    """Which cells are meant: shell patterns for each part; what is not named matches everything."""

    feature: Pattern = "*"
    scenario: Pattern = "*"
    platform: Pattern = "*"
    hypervisor: Pattern = "*"
    kernel: Pattern = "*"
    qemu: Pattern = "*"
    firmware: Pattern = "*"
    axes: dict[str, Pattern] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _means_something(self) -> CellPattern:
        if self.feature == "*" and self.scenario == "*":
            raise ValueError("name a `scenario` or a `feature`: an expectation for everything hides everything")
        return self

    def matches(self, cell: CellId) -> bool:
        """Return whether `cell` is one of those meant."""
        parts = ("feature", "scenario", "platform", "hypervisor", "kernel", "qemu", "firmware")
        return all(matches(getattr(self, part), getattr(cell, part)) for part in parts) and all(
            matches(pattern, cell.axes.get(name, "")) for name, pattern in self.axes.items()
        )


class Expectation(Model):
    """One known difference. With `pass` beside `fail` or `timeout` it is one that shows now and then.

    `versions` limits it by version ranges (PEP 440): `qemu` is the cell's outer QEMU, any other name a fact
    of the result (`kernel`: the release under test). `section` limits it to failures in the preparation or
    in the feature's own steps. `steps` says of a checklist which of its steps fail, by shell patterns of their titles:
    no other may, and one that `fails` must. After `expires` it applies no more.
    """

    cell: CellPattern
    expect: tuple[Literal["fail", "timeout", "pass"], ...]
    why: str = Field(min_length=1)
    link: str = Field(min_length=1)
    versions: dict[str, str] = Field(default_factory=dict)
    section: Section | None = None
    steps: dict[str, Literal["fails", "may-fail"]] = Field(default_factory=dict)
    expires: date

    @field_validator("expect", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("expect")
    @classmethod
    def _fails(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not {"fail", "timeout"} & set(value):
            raise ValueError("an expectation is of what fails: `fail` or `timeout`, and `pass` only beside them")
        return value

    @field_validator("versions")
    @classmethod
    def _are_ranges(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            try:
                SpecifierSet(text)
            except InvalidSpecifier as error:
                raise ValueError(f"versions of {name}: '{text}' is no range such as '>=10,<12'") from error
        return value

    def version_mismatch(self, cell: CellId, facts: Mapping[str, Scalar]) -> str | None:
        """Say which version is outside its range or not known; None if all are inside."""
        for name, text in self.versions.items():
            found = cell.qemu if name == "qemu" else str(facts.get(name, ""))
            numbers = NUMBERS.search(found)
            if numbers is None:
                return f"the version of {name} is not known"
            if not SpecifierSet(text).contains(Version(numbers[0]), prereleases=True):
                return f"{name} {found} is not {text}"
        return None

    def step_mismatch(self, steps: Sequence[StepResult]) -> str | None:
        """Say which step ended otherwise than `steps` allows; None if none did."""
        if not self.steps:
            return None
        for step in steps:
            title = step.title or step.verb
            wanted = [wish for pattern, wish in self.steps.items() if fnmatchcase(title, pattern)]
            if step.verdict is not Verdict.PASS and not wanted:
                return f"step {step.index + 1}, {title}, is not among those that fail"
            if step.verdict is Verdict.PASS and "fails" in wanted:
                return f"step {step.index + 1}, {title}, passes"
        return None


class _File(Model):
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A verdict after expectations: `expectation` is the one that made it xfail or xpass."""

    verdict: Verdict
    expectation: Expectation | None = None
    message: str = ""

    @property
    def reason(self) -> Reason | None:
        """Return what a result keeps of the expectation."""
        return None if self.expectation is None else Reason(why=self.expectation.why, link=self.expectation.link)


@dataclass(frozen=True)
class Expectations:
    """All expectations, in the file's order; the first that applies decides."""

    entries: tuple[Expectation, ...] = ()

    def judge(
        self,
        cell: CellId,
        raw: Verdict,
        facts: Mapping[str, Scalar],
        today: date,
        section: Section | None = None,
        *,
        steps: Sequence[StepResult] = (),
    ) -> Judgement:
        """Judge a raw verdict. `section` is where the deciding step stands (None: not known, or all passed).

        Trouble of ours and a skip are never expected. An expired entry, or one whose version range does not
        fit, does not apply, and the message says so.
        """
        if raw in (Verdict.INFRA, Verdict.SKIP):
            return Judgement(raw)
        remarks: list[str] = []
        for entry in self.entries:
            if not entry.cell.matches(cell):
                continue
            if mismatch := entry.version_mismatch(cell, facts):
                remarks.append(f"the expectation '{entry.why}' does not apply: {mismatch}")
            elif today > entry.expires:
                remarks.append(f"the expectation '{entry.why}' expired on {entry.expires}")
            elif raw is Verdict.PASS and "pass" in entry.expect:
                return Judgement(raw)
            elif raw is Verdict.PASS:
                message = f"unexpected pass; expected {' or '.join(entry.expect)} because: {entry.why}"
                return Judgement(Verdict.XPASS, entry, f"{message} (fixed? then remove the expectation)")
            elif raw.value not in entry.expect:
                remarks.append(f"expected {' or '.join(entry.expect)}, not {raw} ({entry.why})")
            elif entry.section not in (None, section):
                remarks.append(f"expected to {raw} in the {entry.section} steps, not before ({entry.why})")
            elif step := entry.step_mismatch(steps):
                remarks.append(f"not as expected: {step} ({entry.why})")
            else:
                return Judgement(Verdict.XFAIL, entry, f"expected: {entry.why}")
        return Judgement(raw, None, "; ".join(remarks) if raw is not Verdict.PASS else "")


def load_expectations(path: Path = DEFAULT) -> Expectations:
    """Read expectations. Raises YamlError with every problem as `file:line:column`, UsageError."""
    return Expectations(load(path, _File).expectations)


def unexpected(results: Sequence[Summary]) -> list[Summary]:
    """Return the results that somebody must look at: the product's surprises first, then trouble of ours."""
    surprises = [result for result in results if result.verdict in (Verdict.FAIL, Verdict.TIMEOUT, Verdict.XPASS)]
    return surprises + [result for result in results if result.verdict is Verdict.INFRA]


def exit_code(results: Sequence[Summary]) -> int:
    """Return 0 if all is as expected, 1 if the product is not, 3 if there is only trouble of ours."""
    found = unexpected(results)
    if not found:
        return EXIT_OK
    return EXIT_INFRA if found[0].verdict is Verdict.INFRA else EXIT_UNEXPECTED
