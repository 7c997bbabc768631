"""Which cells there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from base.errors import UsageError
from harness.bring import check_files
from harness.hypervisor import load_hypervisors
from harness.plan import Choice, plan
from harness.qemus import own_version
from harness.scenario import MachineWish, Scenario, load_heads
from results.features import load_features
from sim.platform import load_platforms


def _ids(choice: Choice, **limits: tuple[str, ...]) -> list[str]:
    scenario = Scenario(name="s", feature="f", summary="", **limits)
    return [cell.id().id for cell in plan([scenario], choice)]


def test_every_platform_and_column_gives_a_cell_with_a_name_of_its_own() -> None:
    heads, platforms = load_heads(), load_platforms()
    cells = plan(heads.values(), Choice())
    columns = {
        name: sum(len(h.kernels) for h in load_hypervisors().values() if name in h.platforms) for name in platforms
    }
    wanted = sum(columns[name] for head in heads.values() for name in head.platforms or platforms)
    assert len({cell.id().id for cell in cells}) == len(cells) == wanted


@pytest.mark.parametrize("platform", ["g5", "pseries-970"])
def test_every_row_has_a_cell_in_each_column_of_the_970(platform: str) -> None:
    """Perhaps one that is n/a, with the reason: none is left `untested` by a whole run."""
    cells = plan(load_heads().values(), Choice(platform, "kvm-pr"))
    for kernel in load_hypervisors()["kvm-pr"].kernels:
        assert {cell.scenario.feature for cell in cells if cell.kernel == kernel} == set(load_features().names())


def test_where_a_hypervisor_lacks_what_a_scenario_needs_it_is_not_applicable() -> None:
    scenario = Scenario(name="s", feature="f", summary="", needs=("hash-mmu",))
    reasons = {cell.hypervisor.name: cell.not_applicable for cell in plan([scenario], Choice())}
    assert reasons.pop("kvm-pr") is None
    assert reasons == {name: f"{name} has no hash-mmu, the scenario is about it" for name in reasons}
    with pytest.raises(UsageError, match="scenario s: no hypervisor offers 'hash-mnu'; did you mean 'hash-mmu'"):
        plan([scenario.model_copy(update={"needs": ("hash-mnu",)})], Choice())


@pytest.mark.parametrize(
    ("choice", "limits", "found"),
    [
        (Choice("g5", None, "fixed"), {}, ["s.g5.kvm-pr.fixed"]),
        (Choice("g5"), {}, ["s.g5.kvm-pr.stock", "s.g5.kvm-pr.fixed", "s.g5.xen.debian"]),
        (Choice("g5"), {"platforms": ("pseries-970",)}, []),
        (Choice("pseries-970", None, "fixed", "vof"), {}, ["s.pseries-970.kvm-pr.fixed.firmware-vof"]),
        # Only one platform has that firmware: the other is left out unless it was asked for.
        (Choice(None, None, "fixed", "vof"), {}, ["s.pseries-970.kvm-pr.fixed.firmware-vof"]),
        (Choice("g5", None, "/some/vmlinux"), {}, ["s.g5.kvm-pr.own"]),
    ],
)
def test_choices_and_limits(choice: Choice, limits: dict[str, tuple[str, ...]], found: list[str]) -> None:
    assert _ids(choice, **limits) == found


def test_a_scenario_for_a_hypervisor_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UsageError, match="no hypervisor 'xne'"):
        _ids(Choice(), hypervisors=("xne",))


def test_the_image_of_a_column_is_not_needed_for_an_own_kernel() -> None:
    scenario = Scenario(name="s", feature="f", summary="")
    (own,) = plan([scenario], Choice("g5", None, "/some/vmlinux"))
    (fixed,) = plan([scenario], Choice("g5", None, "fixed"))
    assert set(fixed.images) - set(own.images) == {"linux-970-fixed"}


def test_the_own_kernel_is_checked_before_anything_starts(tmp_path: Path) -> None:
    text = tmp_path / "vmlinux"
    text.write_text("not a kernel")
    scenario = Scenario(name="s", feature="f", summary="")
    choice = Choice("g5", None, str(text))
    choice.check()
    with pytest.raises(UsageError, match="vmlinux: a text file, not an ELF file"):
        check_files(plan([scenario], choice))


def test_a_boot_from_a_disk_needs_the_loader_and_a_firmware_that_starts_it() -> None:
    scenario = Scenario(name="s", feature="f", summary="", machine=MachineWish(boot="disk"))
    for platform, loader in (("g5", "grub-970-openbios"), ("pseries-970", "grub-970-slof")):
        (cell,) = plan([scenario], Choice(platform, None, "fixed"))
        assert (cell.not_applicable, cell.loader) == (None, loader)
        assert loader in cell.images
    (vof,) = plan([scenario], Choice("pseries-970", None, "fixed", "vof"))
    assert vof.not_applicable == "pseries-970 with vof starts no boot loader from a disk, the scenario is about one"
    assert not [name for name in vof.images if name.startswith("grub")]
    (direct,) = plan([scenario.model_copy(update={"machine": MachineWish()})], Choice("g5", None, "fixed"))
    assert (direct.not_applicable, direct.loader) == (None, None)


def test_every_row_of_the_page_has_a_scenario() -> None:
    covered = {scenario.feature for scenario in load_heads().values()}
    assert not [name for name in load_features().names() if name not in covered]


def test_a_scenario_about_more_cpus_than_a_board_has_is_not_applicable() -> None:
    cells = plan([load_heads()["smp-hypervisor"]], Choice(kernel="fixed"))
    reasons = {cell.platform.name: cell.not_applicable for cell in cells}
    assert reasons["g5"] == "g5 has at most 1 CPU, the scenario is about 2"
    assert reasons["pseries-970"] is None


def test_another_qemu_is_an_axis_and_the_hypervisor_s_own_is_none() -> None:
    scenario = Scenario(name="s", feature="f", summary="")
    (other,) = plan([scenario], Choice("g5", None, "fixed", qemu="7.2"))
    assert other.id().id == "s.g5.kvm-pr.fixed.qemu-7.2"
    assert (other.qemu_image, other.images[0]) == ("qemu-7.2", "qemu-7.2")
    assert "7.2" in other.name
    (same,) = plan([scenario], Choice("g5", None, "fixed", qemu="10.0"))
    assert same.id() == plan([scenario], Choice("g5", None, "fixed"))[0].id()


def test_a_qemu_of_the_user_s_is_asked_for_its_version(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho QEMU emulator version 11.2.50 \\(v11.1.0-7-g0\\)\n")
    program.chmod(0o755)
    assert own_version(program) == "11.2.50"
    scenario = Scenario(name="s", feature="f", summary="")
    (cell,) = plan([scenario], Choice("g5", None, "fixed", qemu=str(program)))
    assert cell.id().id == "s.g5.kvm-pr.fixed.qemu-own"
    assert not any(name.startswith("qemu-1") for name in cell.images)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("7.3", "no QEMU '7.3'; did you mean '7.2'?, or name the file of a qemu-system-ppc64"),
        ("./none", "no QEMU at ./none"),
        ("{text}", "does not run: "),
        ("/bin/false", "/bin/false is no QEMU: to `--version` it said false"),
    ],
)
def test_what_is_no_qemu_is_told_before_anything_starts(word: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(UsageError, match=re.escape(said)):
        Choice(qemu=word.format(text=tmp_path / "text")).check()


def test_the_reference_has_a_qemu_and_a_hypervisor_of_its_own() -> None:
    scenario = Scenario(name="s", feature="f", summary="")
    (cell,) = plan([scenario], Choice("pc-xen", kernel="4-17"))
    assert cell.images[0] == "qemu-x86-10.0"
    assert "xen-x86-4.17" in cell.images
    (other,) = plan([scenario], Choice("pc-xen", kernel="4-17", qemu="7.2"))
    assert (other.qemu_image, other.axes) == ("qemu-x86-7.2", {"qemu": "7.2"})


def test_what_a_user_brings_is_for_powerpc_unless_the_platform_is_named() -> None:
    scenario = Scenario(name="s", feature="f", summary="")
    brought = plan([scenario], Choice(kernel="/some/vmlinux"))
    assert {cell.platform.architecture for cell in brought} == {"ppc64"}
    # Under each Xen that there is.
    assert len(plan([scenario], Choice("pc-xen", dom0="/some/vmlinux"))) == 2


def test_no_scenario_needs_a_hypervisor_by_its_name() -> None:
    names = set(load_hypervisors()) | {hypervisor.toolstack for hypervisor in load_hypervisors().values()}
    assert not [scenario.name for scenario in load_heads().values() if names & set(scenario.needs)]
