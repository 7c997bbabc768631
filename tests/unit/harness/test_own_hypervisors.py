"""Hypervisors in folders of the user's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from base.errors import UsageError
from base.paths import PROJECT
from base.yamlmodel import YamlError
from harness.bring import check_files
from harness.cli import main
from harness.hypervisor import FOLDER, FOLDERS, find_hypervisor, load_from, load_hypervisors
from harness.plan import Choice, PlannedCell, plan
from harness.scenario import MachineWish, Scenario
from harness.verbs import StepFailed
from tests.fakes.elf import CODE, make_elf

LINUX = make_elf(content=b"Linux version 2.6.18-xen (a@b) (gcc) #1" + CODE)
XEN = """\
name: xen-970
title: Xen 3.2 for the 970, my build
platforms: [g5]
qemu: qemu-10.0
dom0: {entry: initrd}
arguments: console=com1
kernels:
  mine:
    title: my build
    hypervisor: {file: build/xen}
    kernel: {file: build/vmlinux-dom0}
boot:
  shows: 'OF: Xen/PPC version 3\\.'
  then: any
"""
SCENARIO = Scenario(name="s", feature="f", summary="")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of the user's with a Xen of two files."""
    made = tmp_path / "hypervisors"
    (made / "build").mkdir(parents=True)
    (made / "xen-970.yaml").write_text(XEN)
    (made / "build" / "xen").write_bytes(make_elf(virtual=0x400000, physical=0x400000))
    (made / "build" / "vmlinux-dom0").write_bytes(LINUX)
    monkeypatch.setenv(FOLDERS, str(made))
    return made


def _cell(**given: str) -> PlannedCell:
    (cell,) = plan([SCENARIO], Choice("g5", "xen-970", **given))  # type: ignore[arg-type]
    return cell


def test_it_stands_beside_the_project_s_with_a_column_of_its_own(folder: Path) -> None:
    project = {path.stem for path in FOLDER.glob("*.yaml")}
    assert set(load_hypervisors()) == project | {"xen-970"}
    cell = _cell()
    assert cell.id().id == "s.g5.xen-970.mine"
    assert cell.sources == {"hypervisor": folder / "build/xen", "kernel": folder / "build/vmlinux-dom0"}
    assert cell.images == ["qemu-10.0"]
    assert cell.hypervisor.folder == folder
    check_files([cell])


def test_its_files_are_looked_at_before_anything_starts(folder: Path) -> None:
    (folder / "build" / "xen").write_bytes(make_elf(order="<"))
    with pytest.raises(UsageError, match="build/xen: little-endian ELF; g5 starts big-endian images"):
        check_files([_cell()])
    (folder / "build" / "xen").unlink()
    with pytest.raises(UsageError, match=r"cannot read the hypervisor .*build/xen"):
        check_files([_cell()])


def test_options_go_before_its_files(folder: Path) -> None:
    cell = _cell(hypervisor_image="./xen", dom0="./vmlinux")
    assert cell.sources == {"hypervisor": Path("xen").absolute(), "kernel": Path("vmlinux").absolute()}
    assert cell.id().id == "s.g5.xen-970.mine.dom0-own.hypervisor-image-own"
    with pytest.raises(UsageError, match="--kernel: xen-970 and its dom0's kernel are two files"):
        Choice("g5", "xen-970", kernel="./k").check()


def test_it_boots_from_no_disk(folder: Path) -> None:
    (cell,) = plan([SCENARIO.model_copy(update={"machine": MachineWish(boot="disk")})], Choice("g5", "xen-970"))
    assert cell.not_applicable == "QEMU loads xen-970 itself, the scenario is about a disk"


def test_what_it_cannot_take_leaves_the_others_in_the_plan(folder: Path) -> None:
    cells = plan([SCENARIO], Choice("g5", kernel="./vmlinux"))
    names = [cell.hypervisor.name for cell in cells]
    assert "kvm-pr" in names
    assert "xen-970" not in names
    assert [cell.hypervisor.name for cell in plan([SCENARIO], Choice("g5", dom0="./vmlinux"))] == ["xen-970"]


def test_one_whose_dom0_is_linked_in_is_one_file(folder: Path) -> None:
    text = XEN.replace("entry: initrd", "entry: linked-in").replace("    hypervisor: {file: build/xen}\n", "")
    (folder / "xen-970.yaml").write_text(text.replace("build/vmlinux-dom0", "build/xen"))
    load_from.cache_clear()
    check_files([_cell()])
    cell = _cell(hypervisor_image="./xen")
    assert cell.id().id == "s.g5.xen-970.mine.hypervisor-image-own"
    assert cell.sources == {"kernel": Path("xen").absolute()}
    # Someone's kernel is dom0's: it is not started as a hypervisor.
    kernels = plan([SCENARIO], Choice("g5", kernel="./vmlinux"))
    assert "xen-970" not in [one.hypervisor.name for one in kernels]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[g5]", "[g6]", r"xen-970.yaml:3:13: no platform 'g6'; known: g5, "),
        ("name: xen-970", "name: xen", r"xen-970.yaml:1:1: name is 'xen'; it must be the file's"),
        ("  mine:", "  My Build:", r"xen-970.yaml:8:3: a kernel's name is made of small letters"),
        ("qemu:", "toolstack: xm\nqemu:", r"with a `toolstack`, `boot: \{then: dom0\}` is what follows"),
        ("entry: initrd", "entry: intrd", r"xen-970.yaml:5:8: dom0.entry: Input should be 'kernel', 'initrd'"),
        ("entry: initrd", "entry: none", r"`hypervisor` is one too many, as `dom0: \{entry: none\}` has it"),
        ("    hypervisor: {file: build/xen}\n", "", r"`hypervisor` is needed, as `dom0: \{entry: initrd\}` has it"),
        ("dom0: {", "dom: {", r"xen-970.yaml:5:1: unknown key 'dom'; did you mean 'dom"),
        (r"3\.'", "3('", r"xen-970.yaml:13:3: not a regular expression"),
        ("  then: any\n", "", r"without one, it is not"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    assert old in XEN
    (folder / "xen-970.yaml").write_text(XEN.replace(old, new))
    load_from.cache_clear()
    with pytest.raises(YamlError, match=said):
        load_hypervisors()


@pytest.mark.parametrize(
    ("old", "new", "entry"),
    [
        ("dom0: {entry: initrd}\n", "", "modules"),
        ("    hypervisor: {file: build/xen}\n", "", "kernel"),
        ("  then: any", "  then: power-off", "none"),
    ],
)
def test_how_dom0_is_entered_need_not_be_said_where_it_is_plain(folder: Path, old: str, new: str, entry: str) -> None:
    text = XEN.replace("dom0: {entry: initrd}\n", "")
    if entry != "modules":
        text = text.replace("    hypervisor: {file: build/xen}\n", "")
    (folder / "xen-970.yaml").write_text(text.replace(old, new))
    load_from.cache_clear()
    assert find_hypervisor("xen-970").entry == entry


def test_a_name_of_the_project_s_is_not_taken(folder: Path) -> None:
    (folder / "kvm-pr.yaml").write_text((FOLDER / "kvm-pr.yaml").read_text())
    load_from.cache_clear()
    with pytest.raises(YamlError, match="there is a hypervisor 'kvm-pr' already: choose another name"):
        load_hypervisors()


def test_without_a_toolstack_no_domu_can_be_made(folder: Path) -> None:
    hypervisor = find_hypervisor("xen-970")
    with pytest.raises(StepFailed, match="xen-970 has no toolstack, so no domU can be made"):
        _ = hypervisor.domu


def test_the_option_names_a_folder_as_the_variable_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDERS, "")
    assert main(["list", "hypervisors"]) == 0
    assert "xen-970" not in capsys.readouterr().out
    monkeypatch.chdir(folder.parent)
    assert main(["list", "hypervisors", "--hypervisors", "hypervisors"]) == 0
    assert re.search("xen-970/mine +Xen 3.2 for the 970, my build; my build; on g5", capsys.readouterr().out)
    assert os.environ[FOLDERS] == "hypervisors"
    monkeypatch.setenv(FOLDERS, "")
    assert main(["run", "dom0-boot", "--hypervisors", "./none"]) == 2
    assert f"no folder of hypervisors at {folder.parent / 'none'}" in capsys.readouterr().err


def test_the_example_of_the_guide_is_right(folder: Path) -> None:
    """The YAML that docs/bring-your-own.md shows is one that is taken."""
    guide = (PROJECT / "docs" / "bring-your-own.md").read_text()
    block = guide.split("```yaml\n")[1].split("```")[0]
    assert block.startswith("name: xen-970\n")
    (folder / "xen-970.yaml").write_text(block)
    load_from.cache_clear()
    hypervisor = find_hypervisor("xen-970")
    assert hypervisor.two_files
    assert hypervisor.boot is not None
    (cell,) = plan([SCENARIO], Choice("maple", "xen-970"))
    check_files([cell])
