"""Recipes that say only what is otherwise than in another one (`like: NAME`), made whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from base.yamlmodel import Document, Loc, Model, YamlError, suggest, validate
from images.recipe import Alias, Build, Input, Name, Recipe


class Derived(Model):
    """A recipe file with `like`. An input takes the place of the one with its handle, patches those of theirs."""

    name: Name
    like: Name
    summary: str
    inputs: list[Input] = Field(default_factory=list)
    patches: dict[Alias, list[str]] = Field(default_factory=dict)
    tools: list[str] = Field(default_factory=list)
    build: Build | None = None


@dataclass
class Recipes:
    """Whole recipes, each with the document in which to look for the place of a mistake; and what is wrong so far."""

    found: list[tuple[Document, Recipe]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def complete(documents: Sequence[Document]) -> Recipes:
    """Validate recipe files, and fill in what those with `like` leave to another."""
    recipes = Recipes()
    waiting: list[tuple[Document, Derived]] = []
    broken: set[Any] = set()
    for document in documents:
        try:
            if isinstance(document.data, dict) and "like" in document.data:
                waiting.append((document, validate(document, Derived)))
            else:
                recipes.found.append((document, validate(document, Recipe)))
        except YamlError as error:
            recipes.problems += error.problems
            broken.add(document.data.get("name") if isinstance(document.data, dict) else None)
    whole = {recipe.name: recipe for _, recipe in recipes.found}
    while ready := [pair for pair in waiting if pair[1].like in whole]:
        for document, own in ready:
            waiting.remove((document, own))
            if (base := whole[own.like]).variants:
                place = document.place(("like",))
                recipes.problems.append(f"{place}: '{own.like}' is several images, by its variants; like which?")
                broken.add(own.name)
                continue
            merged, places = _merge(base, own, document)
            recipes.found.append((Document(document.path, document.data, places), merged))
            whole.setdefault(own.name, merged)
    recipes.problems += _hopeless(waiting, list(whole), broken)
    return recipes


def _merge(base: Recipe, own: Derived, document: Document) -> tuple[Recipe, dict[Loc, tuple[int, int]]]:
    """Return the whole recipe, and where its parts stand: what it has from `base` stands at `like`."""
    places = {loc: place for loc, place in document.places.items() if loc[:1] != ("inputs",) or len(loc) == 1}
    inputs: list[Input] = []

    def add(item: Input, index: int | None) -> None:
        at = ("inputs", len(inputs))
        inputs.append(item)
        if index is None:
            places[at] = document.places[("like",)]
            return
        own_places = document.places.items()
        places.update({(*at, *loc[2:]): place for loc, place in own_places if loc[:2] == ("inputs", index)})

    left = dict(enumerate(own.inputs))
    for item in base.inputs:
        index = next((index for index, mine in left.items() if mine.handle == item.handle), None)
        add(item if index is None else left.pop(index), index)
    for index, item in left.items():
        add(item, index)
    merged = base.model_copy(
        update={
            "name": own.name,
            "summary": own.summary,
            "inputs": inputs,
            "patches": {**base.patches, **own.patches},
            "tools": [*base.tools, *(tool for tool in own.tools if tool not in base.tools)],
            "build": own.build or base.build,
        }
    )
    return merged, places


def _hopeless(waiting: Sequence[tuple[Document, Derived]], known: Sequence[str], broken: set[Any]) -> list[str]:
    """Return what is wrong with those whose like was never found; what is told of another one is not told again."""
    likes = {own.name: own.like for _, own in waiting}
    problems: list[str] = []
    for document, own in waiting:
        place = document.place(("like",))
        way = [own.name]
        while (following := likes.get(way[-1])) and following not in way:
            way.append(following)
        if following == own.name:
            problems.append(f"{place}: recipes are like each other: {' -> '.join([*way, own.name])}")
        elif own.like not in likes and own.like not in broken:
            problems.append(f"{place}: there is no recipe '{own.like}'{suggest(own.like, known)}")
    return problems
