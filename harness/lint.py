"""All that is wrong with YAML files of the test bed, found without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from base.errors import UsageError
from base.yamlmodel import YamlError, load, parse
from harness.hypervisor import FOLDER as HYPERVISORS
from harness.hypervisor import load_one
from harness.plan import Choice, plan
from harness.scenario import FOLDER as SCENARIOS
from harness.scenario import load_scenario
from images.catalogue import RECIPES, load_catalogue
from results.expectations import DEFAULT as EXPECTATIONS
from results.expectations import load_expectations
from sim.platform import FOLDER as PLATFORMS
from sim.platform import Platform


def lint(paths: Iterable[Path]) -> list[str]:
    """Return what is wrong with files, each as `file:line:column: what`. Raises UsageError for what is no such file."""
    problems: list[str] = []
    for path in paths:
        try:
            checker(path)(path)
        except YamlError as error:
            problems += error.problems
        except UsageError as error:
            problems.append(f"{path}:1:1: {error.message}")
    # What is wrong with one recipe is told for each of its folder.
    return list(dict.fromkeys(problems))


def files(words: Iterable[str]) -> list[Path]:
    """Return the YAML files that words name, a folder for those in it; without any, all of ours. Raises UsageError."""
    found: list[Path] = []
    for path in [Path(word) for word in words] or [SCENARIOS, PLATFORMS, HYPERVISORS, EXPECTATIONS, RECIPES]:
        if path.is_dir():
            found += sorted(path.glob("*.yaml"))
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"no file {path}")
    return found


def checker(path: Path) -> Callable[[Path], object]:
    """Return what checks a file: its own keys tell what it is. Raises YamlError, UsageError."""
    data = parse(path).data
    for key, check in _CHECKS.items():
        if isinstance(data, Mapping) and key in data:
            return check
    keys = ", ".join(f"`{key}`" for key in _CHECKS)
    raise YamlError([f"{path}:1:1: no file of the test bed: none of the keys {keys} tells what it is"])


def _scenario(path: Path) -> None:
    plan([load_scenario(path)], Choice())


def _platform(path: Path) -> None:
    platform = load(path, Platform)
    if platform.name != path.stem:
        place = parse(path).place(("name",))
        raise YamlError([f"{place}: name is '{platform.name}' but the file is called '{path.stem}'"])


def _recipe(path: Path) -> None:
    """Read all recipes of its folder: they refer to each other."""
    load_catalogue(path.parent)


# A key that only files of one kind have, and what reads these.
_CHECKS: dict[str, Callable[[Path], object]] = {
    "steps": _scenario,
    "feature": _scenario,
    "kernels": load_one,
    "consoles": _platform,
    "build": _recipe,
    "like": _recipe,
    "expectations": load_expectations,
}
