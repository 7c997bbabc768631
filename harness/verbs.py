"""The registry of verbs: small asynchronous functions with a typed parameter model each."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from base.errors import TestbedError
from base.yamlmodel import Model

if TYPE_CHECKING:
    from harness.cell import Cell

Seconds = Annotated[float, Field(gt=0)]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class StepFailed(TestbedError):
    """What a step checks is not so: the product's affair."""


class StepParams(Model):
    """Parameters every verb takes. `within` is its deadline in seconds of a calm host."""

    within: Seconds = 30.0


P = typing.TypeVar("P", bound=StepParams)
Function = Callable[["Cell", P], Awaitable[str | None]]


@dataclass(frozen=True)
class Verb:
    """A verb: `shorthand` names the parameter that `verb: value` sets."""

    name: str
    function: Callable[[Any, Any], Awaitable[str | None]]
    params: type[StepParams]
    shorthand: str | None
    summary: str


_REGISTRY: dict[str, Verb] = {}


def verb(name: str, *, shorthand: str | None = None) -> Callable[[Function[P]], Function[P]]:
    """Register a step function under `name`. Its docstring's first line becomes the verb's help.

    The function takes the running cell and its parameters, and returns a short remark for the journal or
    None. It raises to say that it did not pass.
    """

    def register(function: Function[P]) -> Function[P]:
        hints = typing.get_type_hints(function, localns={"Cell": Any})
        params = hints[list(inspect.signature(function).parameters)[1]]
        summary = (inspect.getdoc(function) or "").split("\n", 1)[0]
        if name in _REGISTRY:
            raise ValueError(f"verb {name} is registered twice")
        _REGISTRY[name] = Verb(name, function, params, shorthand, summary)
        return function

    return register


def verbs() -> dict[str, Verb]:
    """Return all verbs by name."""
    import harness.steps  # noqa: F401, PLC0415  (importing it registers them)

    return _REGISTRY
