"""The lines of `journal.jsonl`, one model for each kind."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter

from results.model import CellId, Record, Scalar, Section, Status, StepPlan, Verdict


class _Entry(Record):
    """What all lines have: `t` counts seconds since the journal began, `wall` is the time in UTC."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    t: float = Field(ge=0)
    wall: datetime


class CellStart(_Entry):
    """A cell begins; `declared` are all steps it has."""

    kind: Literal["cell-start"] = "cell-start"
    run: str
    cell: CellId
    declared: tuple[StepPlan, ...]


class StepStart(_Entry):
    """A step begins."""

    kind: Literal["step-start"] = "step-start"
    index: int
    section: Section
    verb: str
    title: str = ""


class StepEnd(_Entry):
    """A step ended after `elapsed` seconds."""

    kind: Literal["step-end"] = "step-end"
    index: int
    verdict: Verdict
    elapsed: float
    message: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class Fact(_Entry):
    """A circumstance, known by name."""

    kind: Literal["fact"] = "fact"
    name: str
    value: Scalar


class Note(_Entry):
    """A line for a person."""

    kind: Literal["note"] = "note"
    text: str


class CellEnd(_Entry):
    """The cell ended; `result.json` follows."""

    kind: Literal["cell-end"] = "cell-end"
    verdict: Verdict
    raw: Verdict
    status: Status
    message: str = ""


Entry = CellStart | StepStart | StepEnd | Fact | Note | CellEnd


@cache
def _adapter() -> TypeAdapter[Entry]:
    return TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read_entry(data: Any) -> Entry:
    """Validate one line's data. Raises pydantic.ValidationError."""
    return _adapter().validate_python(data)


def read_line(line: bytes) -> Entry:
    """Read one line. Raises pydantic.ValidationError also for what is no JSON, or JSON of Python's only."""
    return _adapter().validate_json(line)
