"""The rows of the matrix: the hypervisor's own start, the ten of XenPPC's page, then ours."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from base.yamlmodel import Model, load
from results.model import Status, Word

DEFAULT = Path(__file__).with_name("features.yaml")


class Feature(Model):
    """One row: `reference` is what XenPPC's page said (None: it had no such row)."""

    name: Word
    title: str
    reference: Status | None = None


class Features(Model):
    """All rows in order; `reference` names the page they are compared with."""

    reference: str
    features: tuple[Feature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [feature.name for feature in self.features]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"feature given twice: {', '.join(twice)}")
        return self

    def names(self) -> list[str]:
        """Return the features' names in the order of the rows."""
        return [feature.name for feature in self.features]


def load_features(path: Path = DEFAULT) -> Features:
    """Read the rows. Raises YamlError with every problem as `file:line:column`, UsageError."""
    return load(path, Features)
