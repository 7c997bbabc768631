"""YAML files as typed models, with errors that point at a line and a column."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from base.errors import UsageError

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound="Named")
Loc = tuple[str | int, ...]


class Model(BaseModel):
    """Base of every model read from YAML: immutable, unknown keys refused, `kebab-case` keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        alias_generator=lambda name: name.replace("_", "-"),
    )


class Named(Model):
    """A model that is known by its name."""

    name: str


class YamlError(UsageError):
    """A YAML file is not what it should be. `problems` holds one `file:line:column: text` each."""

    def __init__(self, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = list(problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problems,), {"hint": self.hint})


@dataclass
class Document:
    """A parsed YAML file: plain data, and where each value stands (line and column count from 1)."""

    path: Path
    data: Any
    places: dict[Loc, tuple[int, int]] = field(default_factory=dict)

    def place(self, loc: Sequence[str | int]) -> str:
        """Return `file:line:column` of the innermost known value on the way to `loc`."""
        best: Loc = ()
        for part in loc:
            # Validators add parts that are not in the file (names of union members): step over them.
            if (*best, part) in self.places:
                best = (*best, part)
        line, column = self.places.get(best, (1, 1))
        return f"{self.path}:{line}:{column}"


def parse(path: Path) -> Document:
    """Read one YAML document from `path`.

    Raises YamlError for bad syntax, several documents or a key given twice, UsageError when the file
    cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read {path}: {reason}", hint="check the name and the permissions") from error
    document = Document(path, None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _plain(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise YamlError([f"{where}: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise YamlError([f"{path}:1:1: {error}"]) from error
    finally:
        loader.dispose()
    return document


def load(path: Path, model: type[M]) -> M:
    """Read `path` and validate it as `model`. Raises YamlError with every problem found, UsageError."""
    return validate(parse(path), model)


def load_folder(folder: Path, model: type[N]) -> dict[str, N]:
    """Read all `*.yaml` of a folder as models with a `name`, which must be the file's. Raises YamlError."""
    found: dict[str, N] = {}
    for path in sorted(folder.glob("*.yaml")):
        item = load(path, model)
        if item.name != path.stem:
            raise YamlError([f"{path}:1:1: name is '{item.name}' but the file is called '{path.stem}'"])
        found[item.name] = item
    return found


def validate(document: Document, model: type[M], *, loc: Loc = (), data: Any = None) -> M:
    """Validate a parsed document, or the part `data` of it that stands at `loc`, as `model`.

    Raises YamlError with every problem found.
    """
    try:
        return model.model_validate(document.data if data is None else data)
    except ValidationError as error:
        problems = [_problem(document, model, loc, item) for item in error.errors(include_url=False)]
        raise YamlError(problems) from error


def suggest(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `known`, or the list of them."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def _problem(document: Document, model: type[BaseModel], prefix: Loc, item: Any) -> str:
    loc: Loc = item["loc"]
    where = document.place((*prefix, *loc))
    name = ".".join(str(part) for part in loc)
    match item["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key '{loc[-1]}'{suggest(str(loc[-1]), _keys_at(model, loc[:-1]))}"
        case "missing":
            return f"{where}: key '{loc[-1]}' is missing"
        case "value_error":
            return f"{where}: {item['ctx']['error']}"
        case _:
            found = item["input"]
            shown = repr(found) if isinstance(found, str | int | float | bool | None) else type(found).__name__
            return f"{where}: {name}: {item['msg']} (found {shown})"


def _keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """Return the keys that the model at `loc` knows, following fields, lists, dicts and unions."""
    current: set[Any] = {model}
    for part in loc:
        following: set[Any] = set()
        for kind in current:
            following |= _step(kind, part)
        current = following or current
    keys: list[str] = []
    for kind in current:
        keys += [info.alias or name for name, info in kind.model_fields.items()]
    return keys


def _step(kind: type[BaseModel], part: str | int) -> set[Any]:
    for name, info in kind.model_fields.items():
        if part in (name, info.alias):
            return _models_in(info.annotation)
    return set()


def _models_in(annotation: Any) -> set[Any]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return {annotation} if issubclass(annotation, BaseModel) else set()
    found: set[Any] = set()
    for argument in typing.get_args(annotation):
        found |= _models_in(argument)
    return found


def _plain(loader: yaml.SafeLoader, node: yaml.Node, loc: Loc, document: Document) -> Any:
    mark = node.start_mark
    document.places.setdefault(loc, (mark.line + 1, mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key_node.start_mark)
            # YAML 1.1 reads a bare `on` or `off` as a boolean; as a key, the word itself is meant.
            name = key if isinstance(key, str | int) and not isinstance(key, bool) else str(key_node.value)
            if name in mapping:
                raise yaml.MarkedYAMLError(problem=f"key '{name}' is given twice", problem_mark=key_node.start_mark)
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            document.places[(*loc, name)] = place
            mapping[name] = _plain(loader, value_node, (*loc, name), document)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, child, (*loc, index), document) for index, child in enumerate(node.value)]
    return loader.construct_object(node)
