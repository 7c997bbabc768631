"""What a cell is, what one execution of it gave, and how a verdict and a status follow from its steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

SCHEMA = 1
# The kernel, or the value of an axis, that is a file of the user's.
OWN = "own"

Section = Literal["prepare", "feature"]
Scalar = str | int | float | bool | None
# Words that become parts of a folder's name; the dot separates them there.
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Version = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9.+~_-]*)?$")]


class Verdict(StrEnum):
    """How a step or a cell ended. `xfail` and `xpass` come from expectations, never from a step."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TIMEOUT = "timeout"
    INFRA = "infra"
    SKIP = "skip"
    XFAIL = "xfail"
    XPASS = "xpass"


class Status(StrEnum):
    """What a cell says about the product, in XenPPC's own words."""

    YES = "yes"
    CLOSE = "close"
    NO = "no"
    UNTESTED = "untested"
    NA = "n/a"


class Record(BaseModel):
    """Base of what is written to disk: immutable; keys that a later writer added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False, defer_build=True)


class CellId(Record):
    """One point of the plan: a scenario on a platform, under a hypervisor, with its axes.

    `kernel` is the column of the kernel under test (stock, fixed, own), `qemu` the outer QEMU's version,
    `firmware` the platform's firmware. `axes` names only what differs from the platform's defaults
    (`{"qemu": "11.1.3", "vcpus": "4"}`); it makes the identifier of such a cell differ, too.
    """

    feature: Word
    scenario: Word
    platform: Word
    hypervisor: Word
    kernel: Word = "stock"
    qemu: Version = ""
    firmware: Version = ""
    axes: dict[Word, Version] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return a name that is the same in every run and safe as a folder's: `domu-boot.g5.kvm-pr.fixed`."""
        extra = [f"{name}-{value}" for name, value in sorted(self.axes.items())]
        return ".".join([self.scenario, self.platform, self.hypervisor, self.kernel, *extra])

    def __hash__(self) -> int:
        return hash(self.id)


class StepPlan(Record):
    """A step before it runs."""

    section: Section
    verb: str
    title: str = ""


class StepResult(Record):
    """A step that ran. `index` counts all steps of the cell from 0, `elapsed` is in seconds."""

    index: int = Field(ge=0)
    section: Section
    verb: str
    title: str = ""
    verdict: Verdict
    elapsed: float = Field(default=0.0, ge=0)
    message: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_step_expects_nothing(self) -> Self:
        if self.verdict in (Verdict.XFAIL, Verdict.XPASS):
            raise ValueError(f"a step cannot end as {self.verdict}: expectations are judged for whole cells")
        return self


class Reason(Record):
    """Why a cell was expected not to pass, and where to read about it."""

    why: str
    link: str


class Summary(Record):
    """What one execution of a cell gave, without its steps.

    `declared` is the number of steps the scenario has, `raw` the verdict before expectations, `started` in
    UTC, `elapsed` in seconds.
    """

    run: str
    cell: CellId
    verdict: Verdict
    raw: Verdict
    status: Status
    message: str = ""
    started: datetime
    elapsed: float = Field(ge=0)
    declared: int = Field(ge=0)
    expectation: Reason | None = None

    @property
    def speaks(self) -> bool:
        """Return whether this says anything about the product; trouble of ours and a skip do not."""
        return self.status is not Status.UNTESTED


class Result(Summary):
    """The whole of it (`result.json`): its steps, and `facts`, what a reader wants to know of the circumstances.

    A verdict or status that does not follow from the steps is refused.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    steps: tuple[StepResult, ...] = ()
    facts: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_computed(self) -> Self:
        computed = (raw_verdict(self.steps, self.declared), status(self.steps, self.declared))
        allowed = {computed, (Verdict.INFRA, Status.UNTESTED)}
        if not self.steps:
            allowed |= {(Verdict.SKIP, Status.UNTESTED), (Verdict.SKIP, Status.NA)}
        if (self.raw, self.status) not in allowed:
            raise ValueError(
                f"raw verdict {self.raw} and status {self.status} do not follow from the steps, which give "
                f"{computed[0]} and {computed[1]}"
            )
        follows = {self.raw} if self.expectation is None else {_expected(self.raw)}
        if self.verdict not in follows:
            raise ValueError(f"verdict {self.verdict} does not follow from {self.raw} and the expectation")
        return self

    def summary(self) -> Summary:
        """Return this without steps and facts."""
        return Summary.model_construct(**{name: getattr(self, name) for name in Summary.model_fields})


def raw_verdict(steps: Sequence[StepResult], declared: int) -> Verdict:
    """Return a cell's verdict from its steps alone, of which the scenario declares `declared`.

    The first step that did not pass decides. Fewer steps than declared, or none at all, prove nothing:
    the run was cut short, and that is `infra`.
    """
    decisive = deciding_step(steps)
    if decisive is not None:
        return decisive.verdict
    return Verdict.PASS if steps and len(steps) == declared else Verdict.INFRA


def status(steps: Sequence[StepResult], declared: int) -> Status:
    """Return what the steps say about the product; `n/a` is the planner's to give, for a stated reason."""
    raw = raw_verdict(steps, declared)
    if raw in (Verdict.INFRA, Verdict.SKIP):
        return Status.UNTESTED
    passed = any(step.verdict is Verdict.PASS for step in steps if step.section == "feature")
    if raw is Verdict.PASS:
        # Preparation alone shows nothing of the feature.
        return Status.YES if passed else Status.UNTESTED
    return Status.CLOSE if passed else Status.NO


def deciding_step(steps: Sequence[StepResult]) -> StepResult | None:
    """Return the first step that did not pass, None if all did."""
    return next((step for step in steps if step.verdict is not Verdict.PASS), None)


def _expected(raw: Verdict) -> Verdict:
    """Return what an expectation that applies makes of a raw verdict."""
    if raw is Verdict.PASS:
        return Verdict.XPASS
    return Verdict.XFAIL if raw in (Verdict.FAIL, Verdict.TIMEOUT) else raw
