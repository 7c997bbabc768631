"""An artifact's digest: it changes with everything that can change the result, and with nothing else."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from base.yamlmodel import YamlError
from images import lock as locks
from images.errors import LockFileError, ToolError
from images.tools import Tools
from tests.unit.images.fake_project import Project, archive_of

RECIPE = """\
inputs:
  - {source: hello, suite: sid, as: src}
  - {file: guest/init}
  - {image: base}
patches: {src: [fix.patch]}
tools: [fake-gcc]
build:
  shell: 'true'
"""


@pytest.fixture
def ready(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    compiler = project.write("bin/fake-gcc", "#!/bin/sh\necho fake-gcc 12\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{project.root}/bin:{os.environ['PATH']}")
    project.write("guest/init", "one\n")
    project.write("patches/fix.patch", "one\n")
    project.recipe("base", "build: {shell: 'echo > $OUT/x'}\n")
    project.recipe("made", RECIPE)
    pin = project.source()
    locks.write_committed({"source hello sid": (pin,)}, project.committed)
    return project


def digest(project: Project, name: str = "made") -> str:
    found = project.plan().digest(name)
    assert found
    assert len(found) == 64
    return found


def change_lock(project: Project) -> None:
    data = archive_of({"greeting.txt": "hello\n"}) + b"\0" * 512
    locks.write_committed({"source hello sid": (project.archive.offer("k", "hello", "2", data),)}, project.committed)


def change_tool(project: Project) -> None:
    project.write("bin/fake-gcc", "#!/bin/sh\necho fake-gcc 12.1\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.write("guest/init", "two\n"),
        lambda p: p.write("patches/fix.patch", "two\n"),
        lambda p: p.recipe("made", RECIPE.replace("true", "false")),
        lambda p: p.recipe("base", "build: {shell: 'echo > $OUT/y'}\n"),
        change_lock,
        change_tool,
    ],
    ids=["file", "patch", "build", "input image", "locked version", "tool version"],
)
def test_a_changed_input_changes_it(ready: Project, change: object) -> None:
    before = digest(ready)
    assert callable(change)
    change(ready)
    assert digest(ready) != before


def test_what_cannot_change_the_result_does_not(ready: Project) -> None:
    before = digest(ready)
    path = ready.recipe("made", RECIPE)
    path.write_text(path.read_text().replace("summary: test", "# a comment\nsummary: other words") + "after: [base]\n")
    os.utime(ready.root / "guest/init", (0, 0))
    ready.recipe("unrelated", "build: {shell: 'true'}\n")
    assert digest(ready) == before


def test_a_builder_version_changes_it(ready: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(ready)
    monkeypatch.setattr("images.plan.BUILDER_VERSION", 10_000)
    assert digest(ready) != before


def test_variants_differ(ready: Project) -> None:
    ready.recipe("v", "variants: {one: , two: {variables: {level: '2'}}}\nbuild: {shell: 'true'}\n")
    assert digest(ready, "v-one") != digest(ready, "v-two")


def test_versions_of_tools_are_asked_once_for_the_same_file(ready: Project) -> None:
    digest(ready)
    memory = ready.cache / "tools.json"
    known = json.loads(memory.read_text())
    assert known["fake-gcc"][1] == "fake-gcc 12"
    known["fake-gcc"][1] = "from memory"
    memory.write_text(json.dumps(known))
    assert Tools(memory).versions(["fake-gcc"]) == {"fake-gcc": "from memory"}
    change_tool(ready)
    assert Tools(memory).versions(["fake-gcc"]) == {"fake-gcc": "fake-gcc 12.1"}


def test_a_missing_tool_is_named_with_its_package_before_anything_is_built(project: Project) -> None:
    project.recipe("a", "tools: [ninja-of-nowhere]\nbuild: {shell: 'true'}\n")
    with pytest.raises(ToolError, match="needs ninja-of-nowhere") as caught:
        project.ensure("a")
    assert "apt-get install" in (caught.value.hint or "")
    assert project.archive.asked == []


def test_an_overlay_counts_only_for_the_entry_that_it_replaced(tmp_path: Path) -> None:
    old, new, newest = (locks.Pin("p", version, "f", version * 64, 1) for version in "123")
    committed, overlay = tmp_path / "lock.json", tmp_path / "cache" / "lock.json"
    locks.write_committed({"k": (old,)}, committed)
    locks.Lock(committed, overlay).record("k", [new])
    assert locks.Lock(committed, overlay).pins("k") == (new,)
    locks.write_committed({"k": (newest,)}, committed)
    assert locks.Lock(committed, overlay).pins("k") == (newest,)


def test_a_broken_lock_says_which_file(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text("{}")
    with pytest.raises(LockFileError, match=str(path)):
        locks.Lock(path, tmp_path / "none.json")
    assert not issubclass(LockFileError, YamlError)


def test_changes_are_told_by_package() -> None:
    def pin(name: str, version: str) -> locks.Pin:
        return locks.Pin(name, version, "f", "0" * 64, 1)

    assert locks.changes((pin("a", "1"), pin("b", "1")), (pin("a", "2"), pin("c", "1"))) == [
        "a 1 -> 2",
        "b 1 -> gone",
        "c new -> 1",
    ]


def test_a_folder_counts_with_every_file_in_it(ready: Project) -> None:
    ready.recipe("made", RECIPE.replace("{file: guest/init}", "{folder: guest}"))
    before = digest(ready)
    ready.write("guest/__pycache__/init.pyc", "two\n")
    assert digest(ready) == before
    ready.write("guest/more/deep", "two\n")
    assert digest(ready) != before
