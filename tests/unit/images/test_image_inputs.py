"""What builds take from outside: downloads, and a source with the patches that it brings."""

from __future__ import annotations

import hashlib

import pytest

from images import lock as locks
from images.errors import FetchError, PatchError
from images.maintain import verify
from images.store import Store
from tests.unit.images.fake_project import PATCH, Project, archive_of


def patched_source(project: Project, series: str) -> None:
    """Lock a source with Debian's archive, and have both downloaded."""
    upstream = archive_of({"greeting.txt": "hello\n"})
    debian = archive_of({"patches/series": series, "patches/bye.patch": PATCH, "control": "Source: hello\n"})
    pins = []
    for name, data in (("hello_1.orig.tar.xz", upstream), ("hello_1-1.debian.tar.xz", debian)):
        digest = hashlib.sha256(data).hexdigest()
        pins.append(locks.Pin("hello", "1-1", f"pool/{name}", digest, len(data)))
        project.write(f"cache/downloads/{digest}", "").write_bytes(data)
    locks.write_committed({"patched-source hello sid": tuple(pins)}, project.committed)
    project.recipe(
        "made",
        """\
        inputs: [{patched-source: hello, suite: sid}]
        build: {shell: 'cp "$SRC_HELLO/greeting.txt" "$SRC_HELLO/debian/control" "$OUT/"'}
        """,
    )


def test_a_patched_source_is_as_debian_builds_it(project: Project) -> None:
    patched_source(project, "# why\n\nbye.patch # said so\n")
    artifact = project.ensure("made")["made"]
    assert artifact.file("greeting.txt").read_text() == "goodbye\n"
    assert artifact.file("control").read_text() == "Source: hello\n"
    assert [(item.kind, item.name, item.version) for item in artifact.provenance.inputs] == [
        ("source", "hello", "1-1")
    ] * 2


def test_a_patch_of_debians_that_does_not_apply_ends_the_build(project: Project) -> None:
    patched_source(project, "bye.patch\nbye.patch\n")
    with pytest.raises(PatchError, match=r"bye\.patch does not apply"):
        project.ensure("made")


def test_a_damaged_download_is_found_and_not_used(project: Project) -> None:
    pin = project.source()
    project.recipe(
        "made",
        "inputs: [{source: hello, suite: sid, as: src}]\nbuild: {shell: 'cp $SRC_SRC/* $OUT'}\n",
    )
    artifact = project.ensure("made")["made"]
    store = Store(project.cache)
    store.discard(artifact.path)
    download = project.cache / "downloads" / pin.sha256
    data = bytearray(download.read_bytes())
    data[600] ^= 1
    download.write_bytes(data)
    assert [damage.path for damage in verify(store, [], project.events.append)] == [download]
    project.archive.asked.clear()
    project.ensure("made")
    assert project.archive.asked == ["fetch hello"]


def test_offline_builds_work_once_the_downloads_are_there(project: Project) -> None:
    project.source()
    inputs = "inputs: [{source: hello, suite: sid, as: src}]\n"
    project.recipe("made", f"{inputs}build: {{shell: 'cp $SRC_SRC/* $OUT'}}\n")
    project.ensure("made")
    project.archive.online = False
    project.archive.asked.clear()
    project.recipe("made", f"{inputs}build: {{shell: 'cp $SRC_SRC/* $OUT; touch $OUT/new'}}\n")
    project.ensure("made")
    assert project.built() == ["made"]
    project.recipe("other", "inputs: [{source: else, suite: sid}]\nbuild: {shell: 'true'}\n")
    with pytest.raises(FetchError):
        project.ensure("other")


def test_a_version_that_vanished_gives_the_newest_and_a_notice(project: Project) -> None:
    gone = project.source(key="elsewhere", version="1", text="old\n")
    locks.write_committed({"source hello sid": (gone,)}, project.committed)
    project.source(version="2", text="newer\n")
    project.source(version="3", text="newest\n")
    project.recipe(
        "made",
        "inputs: [{source: hello, suite: sid, as: src}]\nbuild: {shell: 'cp $SRC_SRC/* $OUT'}\n",
    )
    artifact = project.ensure("made")["made"]
    assert artifact.file("greeting.txt").read_text() == "newest\n"
    assert artifact.provenance.inputs[0].version == "3"
    (notice,) = [event.detail for event in project.events if event.state == "notice"]
    assert "hello 1 -> 3" in notice
    assert "images lock" in notice
    project.archive.asked.clear()
    assert project.ensure("made")["made"] == artifact
    assert project.archive.asked == [], "what was resolved is remembered"


def test_a_locked_version_that_is_still_there_is_taken_over_a_newer_one(project: Project) -> None:
    old = project.source(version="1", text="old\n")
    project.source(version="2", text="new\n")
    locks.write_committed({"source hello sid": (old,)}, project.committed)
    project.recipe(
        "made",
        "inputs: [{source: hello, suite: sid, as: src}]\nbuild: {shell: 'cp $SRC_SRC/* $OUT'}\n",
    )
    assert project.ensure("made")["made"].file("greeting.txt").read_text() == "old\n"
    assert not [event for event in project.events if event.state == "notice"]
