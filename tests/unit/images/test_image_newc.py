"""The initramfs writer, read back by a reader written from the format's description."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from images.errors import BuildError
from images.newc import Newc
from tests.unit.images.fake_project import Project


@dataclass
class Read:
    inode: int
    mode: int
    mtime: int
    device: tuple[int, int]
    data: bytes


def read(archive: bytes) -> dict[str, Read]:
    found: dict[str, Read] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        field = [int(archive[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        name = archive[at + 110 : at + 110 + field[11] - 1].decode()
        assert archive[at + 110 + field[11] - 1] == 0
        at = (at + 110 + field[11] + 3) & ~3
        if name == "TRAILER!!!":
            assert not archive[at:].strip(b"\0")
            return found
        data = archive[at : at + field[6]]
        assert len(data) == field[6]
        at = (at + field[6] + 3) & ~3
        assert name not in found
        found[name] = Read(field[0], field[1], field[5], (field[9], field[10]), data)


def test_entries_read_back_with_parents_first() -> None:
    out = Newc()
    out.file("/usr/bin/tool", b"odd", 0o755)
    out.symlink("/bin", "usr/bin")
    out.device("/dev/console", "char", 5, 1, 0o600)
    out.directory("/tmp", 0o1777)
    found = read(out.to_bytes())
    assert list(found) == sorted(found)
    assert found["usr/bin/tool"].data == b"odd"
    assert found["usr/bin/tool"].mode == stat.S_IFREG | 0o755
    assert found["usr"].mode == stat.S_IFDIR | 0o755
    assert (found["bin"].mode, found["bin"].data) == (stat.S_IFLNK | 0o777, b"usr/bin")
    assert (found["dev/console"].mode, found["dev/console"].device) == (stat.S_IFCHR | 0o600, (5, 1))
    assert found["tmp"].mode == stat.S_IFDIR | 0o1777
    assert {entry.mtime for entry in found.values()} == {0}
    assert len({entry.inode for entry in found.values()}) == len(found)


def test_the_same_entries_in_another_order_give_the_same_bytes() -> None:
    one, two = Newc(), Newc()
    for out, names in ((one, "ab"), (two, "ba")):
        for name in names:
            out.file(f"/d/{name}", name.encode())
    assert one.to_bytes() == two.to_bytes()


@pytest.mark.skipif(not shutil.which("cpio"), reason="cpio is not needed otherwise")
def test_cpio_reads_it(tmp_path: Path) -> None:
    out = Newc()
    out.file("/a/b", b"12345", 0o640)
    done = subprocess.run(["cpio", "-i", "-d", "--quiet"], input=out.to_bytes(), cwd=tmp_path, check=True)
    assert done.returncode == 0
    assert (tmp_path / "a/b").read_bytes() == b"12345"


@pytest.mark.parametrize("path", ["/", "", "/a/../b"])
def test_paths_that_are_none_are_refused(path: str) -> None:
    with pytest.raises(BuildError):
        Newc().file(path, b"")


def test_a_name_taken_twice_or_below_a_file_is_refused() -> None:
    out = Newc()
    out.file("/a", b"")
    with pytest.raises(BuildError, match="two entries"):
        out.symlink("/a", "b")
    with pytest.raises(BuildError, match="is no folder"):
        out.file("/a/b", b"")


def test_a_recipe_packs_files_links_and_nodes(project: Project) -> None:
    project.write("init", "#!/bin/sh\n")
    project.recipe("box", "build: {shell: 'echo tool > $OUT/box; printf \"/bin/ls\\n/init\\n\" > $OUT/links'}\n")
    project.recipe(
        "ram",
        """\
        inputs: [{image: box}, {file: init}]
        build:
          initramfs:
            entries:
              - {file: /init, from: init, mode: "0755"}
              - {file: /bin/box, from: "box:box", mode: "0755"}
              - {links: "box:links", to: /bin/box}
              - {node: /dev/console, major: 5, minor: 1}
        """,
    )
    found = read(project.ensure("ram")["ram"].file("initramfs.cpio").read_bytes())
    assert found["bin/ls"].data == b"/bin/box"
    assert found["init"].data == b"#!/bin/sh\n", "a file wins over busybox's link"
    assert found["bin/box"].data == b"tool\n"
