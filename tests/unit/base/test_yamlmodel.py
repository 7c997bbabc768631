"""Errors of YAML files point at a line and a column."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import Field

from base.errors import UsageError
from base.yamlmodel import Model, YamlError, load, parse


class Inner(Model):
    ports: tuple[int, ...] = ()
    long_name: str = ""


class Outer(Model):
    name: str
    inner: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None


def _write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: x\nnaem: y\n", ":2:1: unknown key 'naem'; did you mean 'name'?"),
        ("name: x\ninner:\n  a: {long-nam: y}\n", ":3:7: unknown key 'long-nam'; did you mean 'long-name'?"),
        ("name: x\nmaybe:\n  prots: []\n", ":3:3: unknown key 'prots'; did you mean 'ports'?"),
        ("name: x\ninner:\n  a:\n    ports: [1, two]\n", ":4:16: inner.a.ports.1: "),
        ("inner: {}\n", ":1:1: key 'name' is missing"),
        ("name: [x\n", ":2:1: "),
        ("name: x\nname: y\n", ":2:1: key 'name' is given twice"),
        ("name: x\n---\nname: y\n", ":2:1: "),
        ("name: !!python/object:os.system x\n", ":1:7: "),
        ("? [a]\n: x\n", ":1:3: "),
        ("", ":1:1: "),
    ],
)
def test_the_place_is_told(text: str, problem: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(YamlError) as caught:
        load(path, Outer)
    assert f"{path}{problem}" in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = _write(tmp_path, "nmae: x\ninner: {a: {ports: no}}\n")
    with pytest.raises(YamlError) as caught:
        load(path, Outer)
    assert len(caught.value.problems) == 3


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        parse(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(UsageError, match=r"cannot read"):
        parse(tmp_path / "latin.yaml")


def test_errors_cross_process_boundaries_whole() -> None:
    error = pickle.loads(pickle.dumps(UsageError("what", hint="next", where="here")))
    assert (str(error), error.exit_code) == ("here: what\n  hint: next", 2)
    yaml_error = pickle.loads(pickle.dumps(YamlError(["a:1:1: b"], hint="next")))
    assert yaml_error.problems == ["a:1:1: b"]
    assert "next" in str(yaml_error)
