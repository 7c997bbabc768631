"""Builds: whole or absent, once, in order; what fails says what failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from base.errors import EXIT_USAGE
from base.paths import PROJECT
from images.errors import ArtifactError, BuildError, PatchError
from images.maintain import collect, garbage, repair, verify
from images.store import Artifact, Store
from images.tree import tree_command
from tests.unit.images.fake_project import PATCH, Project

CHILD = """\
import sys
sys.path.insert(0, {project!r})
from pathlib import Path
from images.api import ensure
from images.catalogue import load_catalogue
report = lambda event: Path({note!r}, event.state).touch()
ensure(["slow"], catalogue=load_catalogue(Path({recipes!r})), report=report)
"""


def child(project: Project, note: Path) -> subprocess.Popen[bytes]:
    """Start `ensure("slow")` in another process, which leaves a file in `note` for each state it reports."""
    note.mkdir()
    code = CHILD.format(project=str(PROJECT), recipes=str(project.root / "recipes"), note=str(note))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


def wait_for(path: Path, what: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert what.poll() is None, what.stderr and what.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_build_records_where_it_came_from_and_a_second_one_does_nothing(project: Project) -> None:
    pin = project.source()
    project.write("patches/bye.patch", PATCH)
    project.recipe(
        "made",
        """\
        inputs: [{source: hello, suite: sid, as: src}]
        patches: {src: [bye.patch]}
        variables: {level: "3"}
        tools: [tar]
        build: {shell: 'cp "$SRC_SRC/greeting.txt" "$OUT/"; echo "$NAME $LEVEL ${SECRET-none}" > "$OUT/env"'}
        """,
    )
    os.environ["SECRET"] = "leaked"
    try:
        artifact = project.ensure("made")["made"]
    finally:
        del os.environ["SECRET"]
    assert artifact.file("greeting.txt").read_text() == "goodbye\n"
    assert artifact.file("env").read_text() == "made 3 none\n"
    record = artifact.provenance
    assert [(item.kind, item.name, item.version, item.suite) for item in record.inputs] == [
        ("source", "hello", "1", "sid"),
        ("patch", "src: bye.patch", "", ""),
    ]
    assert record.inputs[0].sha256 == pin.sha256
    assert "tar" in record.tools["tar"]
    assert record.recipe == "made"
    assert artifact.path.name == f"made-{artifact.digest[:12]}"
    with pytest.raises(ArtifactError, match="has no file 'none'; it has env"):
        artifact.file("none")

    project.archive.asked.clear()
    assert project.ensure("made")["made"] == artifact
    assert (project.events, project.archive.asked) == ([], [])
    assert not list((project.cache / "build").iterdir())


def test_two_builds_of_the_same_bytes_have_the_same_content_digest(project: Project) -> None:
    project.recipe("made", "build: {shell: 'echo $SOURCE_DATE_EPOCH $WORK > $OUT/x; mkdir $OUT/d'}\n")
    first = project.ensure("made")["made"].provenance
    Store(project.cache).discard(project.ensure("made")["made"].path)
    second = project.ensure("made")["made"].provenance
    assert project.built() == ["made"]
    assert first.content == second.content


def test_inputs_come_first_and_only_what_is_missing_is_built(project: Project) -> None:
    project.recipe("low", "build: {shell: 'echo low > $OUT/x'}\n")
    project.recipe("mid", "inputs: [{image: low}]\nbuild: {shell: 'cat $SRC_LOW/x > $OUT/x'}\n")
    project.recipe("top", "inputs: [{image: mid}]\nbuild: {files: {y: 'mid:x'}}\n")
    found = project.ensure("top")
    assert list(found) == ["top"]
    assert found["top"].file("y").read_text() == "low\n"
    store = Store(project.cache)
    for path, manifest in store.artifacts():
        if manifest and manifest["name"] != "top":
            store.discard(path)
    project.ensure("top")
    assert project.built() == [], "inputs of what is there are not needed"
    project.ensure("mid")
    assert project.built() == ["low", "mid"]


def test_a_failed_build_shows_the_end_of_its_log_and_leaves_nothing(project: Project) -> None:
    project.recipe("bad", "build: {shell: 'for i in $(seq 50); do echo line $i; done; false; echo not reached'}\n")
    with pytest.raises(BuildError) as caught:
        project.ensure("bad")
    text = str(caught.value)
    assert "line 50" in text
    assert "line 31" in text
    assert "line 30\n" not in text
    assert "not reached" not in text
    log = Path(caught.value.where or "")
    assert "line 1\n" in log.read_text()
    assert not list(project.cache.glob("artifacts/*"))
    assert [event.state for event in project.events][-1] == "failed"


def test_a_build_that_makes_nothing_is_a_failure(project: Project) -> None:
    project.recipe("bad", "build: {shell: 'true'}\n")
    with pytest.raises(BuildError, match="left nothing"):
        project.ensure("bad")


def test_the_first_failure_stops_the_others_and_is_the_one_told(project: Project) -> None:
    project.recipe("slow", "build: {shell: 'touch $HOME/../../started; sleep 60'}\n")
    project.recipe(
        "bad", f"build: {{shell: 'until [ -e {project.cache}/started ]; do sleep 0.01; done; echo broken; exit 7'}}\n"
    )
    start = time.monotonic()
    with pytest.raises(BuildError, match=r"'bad'.*exit code 7"):
        project.ensure("slow", "bad")
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("text", "patch_text"),
    [
        ("halo\n", PATCH),
        ("goodbye\n", PATCH),
        ("a\nx\nc\nold\nd\ne\nf\n", PATCH.partition("@@")[0] + "@@ -1,7 +1,7 @@\n a\n b\n c\n-old\n+new\n d\n e\n f\n"),
    ],
    ids=["other text", "already applied", "context differs far from the change"],
)
def test_a_patch_that_does_not_apply_is_loud(project: Project, text: str, patch_text: str) -> None:
    project.source(text=text)
    patch = project.write("patches/bye.patch", patch_text)
    project.recipe(
        "made",
        """\
        inputs: [{source: hello, suite: sid, as: src}]
        patches: {src: [bye.patch]}
        build: {shell: 'touch $OUT/x'}
        """,
    )
    with pytest.raises(PatchError, match=r"bye\.patch does not apply") as caught:
        project.ensure("made")
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.where == str(patch)
    assert "greeting.txt" in caught.value.message
    assert not list(project.cache.glob("artifacts/*"))


def test_a_killed_build_leaves_no_artifact_and_no_process(project: Project) -> None:
    note = project.root / "note"
    project.recipe(
        "slow",
        f"""\
        build:
          shell: |
            echo half > "$OUT/file"
            if [ -e {note}.again ]; then echo whole > "$OUT/file"; exit 0; fi
            sleep 60 &
            echo $$ $! > {note}.new; mv {note}.new {note}
            wait
        """,
    )
    running = child(project, project.root / "states")
    wait_for(note, running)
    pids = [int(word) for word in note.read_text().split()]
    running.send_signal(signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "the build outlived its run"
        time.sleep(0.01)
    assert not list(project.cache.glob("artifacts/*"))
    assert list((project.cache / "build").iterdir())
    project.write("note.again", "")
    assert project.ensure("slow")["slow"].file("file").read_text() == "whole\n"
    assert not list((project.cache / "build").iterdir())


def test_two_processes_build_it_once(project: Project) -> None:
    count, go = project.root / "count", project.root / "go"
    project.recipe(
        "slow", f"build: {{shell: 'echo x >> {count}; touch $OUT/x; until [ -e {go} ]; do sleep 0.01; done'}}\n"
    )
    first = child(project, project.root / "first")
    wait_for(count, first)
    second = child(project, project.root / "second")
    wait_for(project.root / "second" / "waiting", second)
    go.touch()
    assert (first.wait(), second.wait()) == (0, 0)
    assert count.read_text() == "x\n"


def test_leftovers_of_dead_runs_go_and_builds_of_live_ones_stay(project: Project) -> None:
    project.recipe("made", "build: {shell: 'echo 1 > $OUT/x'}\n")
    store = Store(project.cache)
    for name in ("dead", "living", ".of-999999999-download", f".of-{os.getpid()}-download"):
        (store.folder("build") / name / "out").mkdir(parents=True)
    with store.lock("living"):
        project.ensure("made")
    assert {path.name for path in (project.cache / "build").iterdir()} == {"living", f".of-{os.getpid()}-download"}


@pytest.mark.parametrize("part", ["file", "manifest", "extra", "missing", "mode"])
def test_verify_finds_what_changed_and_repair_makes_it_anew(project: Project, part: str) -> None:
    project.recipe("made", "build: {shell: 'echo content > $OUT/file'}\n")
    artifact = project.ensure("made")["made"]
    store = Store(project.cache)
    assert list(verify(store, [], project.events.append)) == []
    path = artifact.path / ("manifest.json" if part == "manifest" else "file")
    if part == "extra":
        (artifact.path / "more").touch()
    elif part == "missing":
        path.unlink()
    elif part == "mode":
        path.chmod(0o600)
    else:
        data = bytearray(path.read_bytes())
        at = data.index(b"shell") if b"shell" in data else data.index(b"made") if part == "manifest" else 3
        data[at] ^= 1
        path.write_bytes(data)
    (damage,) = verify(store, ["made"], project.events.append) if part != "manifest" else verify(store, [], print)
    assert damage.path == artifact.path
    repair(store, damage)
    assert project.ensure("made")["made"].file("file").read_text() == "content\n"
    assert project.built() == ["made"]


def test_a_truncated_artifact_is_built_again(project: Project) -> None:
    project.recipe("made", "build: {shell: 'echo content > $OUT/file'}\n")
    (project.ensure("made")["made"].path / "file").write_text("")
    assert project.ensure("made")["made"].file("file").read_text() == "content\n"


def test_gc_keeps_what_is_needed_or_was_used_lately(project: Project) -> None:
    project.recipe("made", "build: {shell: 'echo 1 > $OUT/x'}\n")
    old = project.ensure("made")["made"]
    project.recipe("made", "build: {shell: 'echo 2 > $OUT/x'}\n")
    new = project.ensure("made")["made"]
    plan = project.plan()
    assert list(garbage(plan, 0)) == [], "an hour of grace"
    for artifact in (old, new):
        os.utime(artifact.path / "manifest.json", (0, 0))
    found = list(garbage(plan, 7))
    assert [item.path for item in found] == [old.path]
    assert collect(plan.store, found) > 0
    assert not old.path.exists()
    assert new.file("x").exists()


def test_progress_tells_what_a_task_took_before(project: Project) -> None:
    project.recipe("made", "build: {shell: 'echo 1 > $OUT/x'}\n")
    project.ensure("made")
    assert {event.expected for event in project.events} == {None}
    project.recipe("made", "build: {shell: 'echo 2 > $OUT/x'}\n")
    project.ensure("made")
    done = project.events[-1]
    assert (done.task, done.state) == ("image made", "done")
    assert done.elapsed is not None
    assert {event.expected for event in project.events} != {None}


def test_an_artifact_is_a_plain_value(project: Project) -> None:
    assert Artifact("a", "0" * 64, project.root) == Artifact("a", "0" * 64, project.root)


def test_a_program_of_a_tree_starts_with_the_trees_own_loader(tmp_path: Path) -> None:
    artifact = Artifact("tree", "0" * 64, tmp_path)
    with pytest.raises(ArtifactError, match="has no file 'usr/bin/tool'"):
        tree_command(artifact, "usr/bin/tool")
    for name in ("usr/bin/tool", "usr/lib/x86_64-linux-gnu/libtool.so", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # As before Debian 13: an absolute link, which leads out of the tree.
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    assert tree_command(artifact, "usr/bin/tool") == [
        f"{tmp_path}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "--library-path",
        f"{tmp_path}/usr/lib/x86_64-linux-gnu:{tmp_path}/lib/x86_64-linux-gnu",
        f"{tmp_path}/usr/bin/tool",
    ]


def test_a_static_program_of_a_tree_starts_by_itself(tmp_path: Path) -> None:
    artifact = Artifact("tree", "0" * 64, tmp_path)
    program = tmp_path / "usr/bin/tool"
    program.parent.mkdir(parents=True)
    program.write_text("no program\n")
    with pytest.raises(ArtifactError, match="has no dynamic loader"):
        tree_command(artifact, "usr/bin/tool")
    # An ELF header (64-bit, little-endian) and no segments: nothing asks for an interpreter.
    program.write_bytes(b"\x7fELF\x02\x01\x01".ljust(64, b"\0"))
    assert tree_command(artifact, "usr/bin/tool") == [str(program)]
