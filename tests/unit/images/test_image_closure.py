"""What programs and kernel modules need is found, and what is missing is named."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

import pytest

from images.closure import Modules, Root
from images.errors import BuildError
from images.initramfs import pack
from images.recipe import Initramfs
from tests.unit.images.test_image_newc import read

PROGRAM = "/bin/sh"


def _module(path: Path, depends: str, *aliases: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["license=GPL", *(f"alias={alias}" for alias in aliases), f"depends={depends}", "vermagic=6.12"]
    data = b"\x7fELF...\0" + b"".join(word.encode() + b"\0" for word in words)
    path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "modules"
    _module(folder / "virt/kvm-hv.ko.xz", "kvm", "char-major-10-232", "devname:kvm")
    _module(folder / "virt/kvm.ko", "irq-bypass,lib_a")
    _module(folder / "virt/irq-bypass.ko.xz", "lib_a")
    _module(folder / "lib/lib_a.ko", "")
    _module(folder / "lib/unused.ko", "")
    return folder


def test_a_program_comes_with_its_loader_and_its_libraries() -> None:
    found = Root(Path("/")).programs([PROGRAM])
    assert PROGRAM in found
    assert any("/ld" in path for path in found), "no program loader"
    assert any(path.endswith("/libc.so.6") for path in found)


def test_a_library_that_no_package_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(PROGRAM, tmp_path / "bin/sh")
    with pytest.raises(BuildError, match=r"(needs libc\.so\.6|have no /lib)"):
        Root(tmp_path).programs([PROGRAM])


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(BuildError, match="is no program"):
        Root(tmp_path).programs(["/text"])
    with pytest.raises(BuildError, match="have no /none"):
        Root(tmp_path).programs(["/none"])


@pytest.mark.parametrize("target", ["/usr/lib/real", "../usr/lib/real", "/way/real"])
def test_links_stay_within_the_root(tmp_path: Path, target: str) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/real").write_text("x")
    (tmp_path / "way").symlink_to("/usr/lib")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/link").symlink_to(target)
    assert Root(tmp_path).find("/lib/link") == tmp_path / "usr/lib/real"


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("/a")
    assert Root(tmp_path).find("/a") is None


def test_modules_come_with_what_they_depend_on(modules: Path) -> None:
    found = Modules(modules).closure(["kvm_hv"])
    assert sorted(found) == ["lib/lib_a.ko", "virt/irq-bypass.ko", "virt/kvm-hv.ko", "virt/kvm.ko"]
    assert found["virt/kvm.ko"][0].startswith(b"\x7fELF"), "not unpacked"
    with pytest.raises(BuildError, match="no module 'none'"):
        Modules(modules).closure(["none"])


def test_modprobes_list_has_each_before_all_that_need_it(modules: Path, tmp_path: Path) -> None:
    (tmp_path / "release").write_text("6.12-x\n")
    entry = {"modules": ["kvm-hv"], "from": "linux", "release": "release"}
    spec = Initramfs.model_validate({"entries": [entry]})
    found = read(pack(spec, lambda name: tmp_path / name, lambda _: modules))
    listed = dict(line.split(":") for line in found["lib/modules/6.12-x/modules.dep"].data.decode().splitlines())
    assert listed["kernel/virt/kvm-hv.ko"].split() == [
        "kernel/virt/kvm.ko",
        "kernel/virt/irq-bypass.ko",
        "kernel/lib/lib_a.ko",
    ]
    assert listed["kernel/lib/lib_a.ko"] == " "
    assert found["lib/modules/6.12-x/kernel/virt/kvm-hv.ko"].data.startswith(b"\x7fELF")


def test_modprobe_finds_a_module_by_its_aliases(modules: Path, tmp_path: Path) -> None:
    (tmp_path / "release").write_text("6.12-x\n")
    entry = {"modules": ["kvm-hv"], "from": "linux", "release": "release"}
    found = read(pack(Initramfs.model_validate({"entries": [entry]}), lambda name: tmp_path / name, lambda _: modules))
    aliases = found["lib/modules/6.12-x/modules.alias"].data.decode().splitlines()
    assert aliases == ["alias char-major-10-232 kvm_hv", "alias devname:kvm kvm_hv"]


def test_a_folder_keeps_what_may_be_executed(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name, mode in (("block", 0o755), ("common.sh", 0o640)):
        (tmp_path / "scripts" / name).write_text("x")
        (tmp_path / "scripts" / name).chmod(mode)
    spec = Initramfs.model_validate({"entries": [{"folder": "/etc/scripts", "from": "tree:scripts"}]})
    found = read(pack(spec, lambda name: tmp_path / name, lambda _: tmp_path / "scripts"))
    assert {path: node.mode & 0o777 for path, node in found.items() if path.startswith("etc/scripts/")} == {
        "etc/scripts/block": 0o755,
        "etc/scripts/common.sh": 0o644,
    }


def test_a_folder_comes_without_what_is_dropped_and_that_must_be_there(tmp_path: Path) -> None:
    for name in ("base/strict.pm", "base/unicore/To.pl", "base/unicorn.pm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def packed(drop: str) -> set[str]:
        entry = {"folder": "/lib", "from": "tree:base", "drop": [drop]}
        spec = Initramfs.model_validate({"entries": [entry]})
        found = read(pack(spec, lambda name: tmp_path / name, lambda _: tmp_path / "base"))
        return {path for path, node in found.items() if path.startswith("lib/")}

    assert packed("unicore") == {"lib/strict.pm", "lib/unicorn.pm"}
    with pytest.raises(BuildError, match="/lib: there is no unicode to drop"):
        packed("unicode")
