"""All recipes together: variants expanded, references checked, in the order in which they can be built."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base.errors import UsageError
from base.paths import PROJECT
from base.yamlmodel import Document, YamlError, parse, suggest
from images.likeness import complete
from images.recipe import ClosureInput, FileInput, FolderInput, ImageInput, Initramfs, Recipe

RECIPES = PROJECT / "images" / "recipes"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# Names are substituted, and what an initramfs is made of: in a build's shell text braces belong to the shell, which has
# $VARIANT.
_SUBSTITUTED = ("image", "package", "source", "patched_source", "suite", "file", "closure")


@dataclass(frozen=True)
class Catalogue:
    """Expanded recipes by artifact name, and the folder below which their files and patches are."""

    base: Path
    recipes: Mapping[str, Recipe]

    @property
    def names(self) -> list[str]:
        """Return the names of all artifacts, those that others need first."""
        return list(self.recipes)

    def recipe(self, name: str) -> Recipe:
        """Return the recipe of an artifact. Raises UsageError when there is none."""
        try:
            return self.recipes[name]
        except KeyError:
            raise UsageError(
                f"there is no image '{name}'{suggest(name, self.names)}", hint="see `testbed images list`"
            ) from None

    def needs(self, name: str) -> list[str]:
        """Return the artifacts that are direct inputs of an artifact."""
        return [item.image for item in self.recipe(name).inputs if isinstance(item, ImageInput)]

    def closure(self, names: Iterable[str]) -> list[str]:
        """Return `names` and all they need, in the catalogue's order. Raises UsageError for an unknown name."""
        wanted: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                waiting += self.needs(name)
                wanted.add(name)
        return [name for name in self.names if name in wanted]


def load_catalogue(folder: Path = RECIPES) -> Catalogue:
    """Read every recipe (`*.yaml`) of `folder`; files and patches are looked for below its parent.

    Raises YamlError with every problem found (`file:line:column: text`), UsageError when a file cannot be
    read.
    """
    problems: list[str] = []
    files: list[Document] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            files.append(parse(path))
        except YamlError as error:
            problems += error.problems
    whole = complete(files)
    problems += whole.problems
    recipes: dict[str, Recipe] = {}
    documents: dict[str, Document] = {}
    for document, plain in whole.found:
        try:
            expanded = _expanded(document, plain)
        except YamlError as error:
            problems += error.problems
            continue
        for name, recipe in expanded.items():
            if name in recipes:
                problems.append(
                    f"{document.place(('name',))}: image '{name}' is made by {documents[name].path.name} too"
                )
            recipes[name], documents[name] = recipe, document
    base = folder.parent
    for name, recipe in recipes.items():
        problems += _check(base, recipes, documents[name], recipe)
    if problems:
        raise YamlError(list(dict.fromkeys(problems)), hint="docs/images.md explains every key of a recipe")
    return Catalogue(base, _ordered(recipes, documents))


def _expanded(document: Document, recipe: Recipe) -> dict[str, Recipe]:
    if not recipe.variants:
        return {recipe.name: _substitute(document, recipe, {})}
    found: dict[str, Recipe] = {}
    for key, variant in recipe.variants.items():
        changed = recipe.model_copy(
            update={
                "name": f"{recipe.name}-{key}",
                "patches": _merge(recipe.patches, variant.patches),
                "variables": {**recipe.variables, **variant.variables, "variant": key},
                "after": [*recipe.after, *variant.after],
                "variants": {},
            }
        )
        found[changed.name] = _substitute(document, changed, changed.variables)
    return found


def _merge(first: Mapping[str, list[str]], second: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {key: [*first.get(key, []), *second.get(key, [])] for key in {**first, **second}}


def _substitute(document: Document, recipe: Recipe, variables: Mapping[str, str]) -> Recipe:
    problems: list[str] = []

    def fill(value: Any, loc: tuple[str | int, ...]) -> Any:
        if isinstance(value, list):
            return [fill(item, (*loc, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: fill(item, (*loc, key)) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        for word in _PLACEHOLDER.findall(value):
            if word not in variables:
                problems.append(f"{document.place(loc)}: unknown variable '{word}'{suggest(word, list(variables))}")
        return _PLACEHOLDER.sub(lambda match: variables.get(match[1], match[0]), value)

    inputs = []
    for index, item in enumerate(recipe.inputs):
        # The handle is fixed before substitution, so that an input has the same one in all variants.
        update: dict[str, Any] = {"alias": item.handle}
        for key in _SUBSTITUTED:
            if hasattr(item, key):
                update[key] = fill(getattr(item, key), ("inputs", index, key.replace("_", "-")))
        inputs.append(item.model_copy(update=update))
    after, build = fill(recipe.after, ("after",)), recipe.build
    if build.initramfs is not None:
        told = build.initramfs.model_dump(by_alias=True, mode="json")
        build = build.model_copy(update={"initramfs": Initramfs.model_validate(fill(told, ("build", "initramfs")))})
    if problems:
        raise YamlError(problems)
    return recipe.model_copy(update={"inputs": inputs, "after": after, "build": build})


def _check(base: Path, recipes: Mapping[str, Recipe], document: Document, recipe: Recipe) -> list[str]:
    problems: list[str] = []
    handles: list[str] = []
    for index, item in enumerate(recipe.inputs):
        if item.handle in handles:
            problems.append(
                f"{document.place(('inputs', index))}: two inputs are called '{item.handle}'; tell them apart by `as`"
            )
        handles.append(item.handle)
        if isinstance(item, ImageInput) and item.image not in recipes:
            place = document.place(("inputs", index, "image"))
            problems.append(f"{place}: there is no image '{item.image}'{suggest(item.image, list(recipes))}")
        if isinstance(item, FileInput) and not (base / item.file).is_file():
            problems.append(f"{document.place(('inputs', index, 'file'))}: there is no file {base / item.file}")
        if isinstance(item, FolderInput) and not item.files(base):
            problems.append(f"{document.place(('inputs', index, 'folder'))}: there is nothing in {item.below(base)}")
    for handle, patches in recipe.patches.items():
        # A variant's patches stand elsewhere in the file; the nearest known place is good enough.
        variant = recipe.variables.get("variant", "")
        loc = next(
            (at for at in (("variants", variant, "patches", handle), ("patches", handle)) if at in document.places), ()
        )
        if handle not in handles:
            problems.append(f"{document.place(loc)}: no input is called '{handle}'{suggest(handle, handles)}")
        problems += [
            f"{document.place(loc)}: there is no file {base / 'patches' / patch}"
            for patch in patches
            if not (base / "patches" / patch).is_file()
        ]
    if recipe.build.tree and [type(item) for item in recipe.inputs] != [ClosureInput]:
        problems.append(f"{document.place(('build', 'tree'))}: a tree is made from exactly one input, a closure")
    for other in recipe.after:
        if other not in recipes:
            problems.append(f"{document.place(('after',))}: there is no image '{other}'{suggest(other, list(recipes))}")
    problems += [
        f"{document.place(loc)}: no input is called '{source.partition(':')[0]}'"
        f"{suggest(source.partition(':')[0], handles)}"
        for loc, source in _references(recipe)
        if source.partition(":")[0] not in handles
    ]
    return problems


def _references(recipe: Recipe) -> list[tuple[tuple[str | int, ...], str]]:
    build = recipe.build
    found: list[tuple[tuple[str | int, ...], str]] = []
    if build.initramfs:
        for index, entry in enumerate(build.initramfs.entries):
            loc = ("build", "initramfs", "entries", index)
            for key, name in (("from", "source"), ("links", "links"), ("release", "release")):
                if hasattr(entry, name):
                    found.append(((*loc, key), getattr(entry, name)))
    if build.rewrite_sc1:
        found.append((("build", "rewrite-sc1", "from"), build.rewrite_sc1.source))
    for name, source in (build.files or {}).items():
        found.append((("build", "files", name), source))
    return found


def _ordered(recipes: Mapping[str, Recipe], documents: Mapping[str, Document]) -> dict[str, Recipe]:
    graph = {
        name: sorted({item.image for item in recipe.inputs if isinstance(item, ImageInput)} | set(recipe.after))
        for name, recipe in recipes.items()
    }
    try:
        return {name: recipes[name] for name in graphlib.TopologicalSorter(graph).static_order()}
    except graphlib.CycleError as error:
        cycle: list[str] = list(reversed(error.args[1]))
        document = documents[cycle[0]]
        raise YamlError([f"{document.place(('inputs',))}: recipes need each other: {' -> '.join(cycle)}"]) from error
