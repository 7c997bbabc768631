"""Files that users bring: who takes them, what is refused before anything starts, and where results stand."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from base.errors import UsageError
from harness.bring import check_files, refusal
from harness.cli import main
from harness.fingerprint import inputs
from harness.hypervisor import Dom0, find_hypervisor
from harness.plan import Choice, PlannedCell, plan
from harness.runspec import OwnFile, RunSpec
from harness.scenario import Scenario
from sim.loading import Entry
from sim.platform import find_platform
from sim.qemu import QemuBinary
from sim.spec import MachineSpec
from tests.fakes.elf import CODE, make_elf

LINUX = make_elf(content=b"Linux version 6.1.0 (a@b) (gcc) #1" + CODE)
SCENARIO = Scenario(name="s", feature="f", summary="")


def _cell(**given: Any) -> PlannedCell:
    (cell,) = plan([SCENARIO], Choice("g5", "kvm-pr", **{"kernel": "fixed", **given}))
    return cell


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (LINUX[:-30], "truncated: ", "copy or build it again"),
        (make_elf(order="<"), "little-endian ELF; g5 starts big-endian images", "choose another platform"),
        (make_elf(bits=32, virtual=0), "32-bit ELF; g5 starts 64-bit images", "build it for 64 bits"),
        (b"a text\n", "a text file, not an ELF file", "give the uncompressed `vmlinux`"),
        (gzip.compress(LINUX, mtime=0), "gzip-compressed; g5 starts ELF files", "gunzip it first"),
        (None, "a directory, not a kernel", "name the kernel inside it"),
        (make_elf(), "an ELF file, but no Linux kernel", "vmlinux"),
    ],
    ids=["truncated", "little-endian", "32-bit", "text", "gzip", "directory", "no-linux"],
)
@pytest.mark.parametrize("command", [["run", "dom0-boot", "-p", "g5"], ["boot", "g5"]], ids=["run", "boot"])
def test_a_kernel_that_cannot_start_ends_with_2_and_nothing_is_begun(
    command: list[str],
    content: bytes | None,
    said: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def begun(*_: object, **__: object) -> None:
        raise AssertionError("something was begun")

    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("harness.commands.run._execute", begun)
    monkeypatch.setattr("harness.commands.boot.make_spec", begun)
    kernel = tmp_path / "vmlinux"
    if content is None:
        kernel.mkdir()
    else:
        kernel.write_bytes(content)
    assert main([*command, "--kernel", str(kernel)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"testbed: {kernel}")
    assert said in first
    assert second.startswith("  hint: ")
    assert hint in second
    assert not (tmp_path / "results").exists()


def test_a_kernel_that_starts_is_let_through(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(LINUX)
    check_files([_cell(kernel=str(kernel))])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"initrd": "{text}"}, "a text file, not an initramfs"),
        ({"firmware": "{text}"}, "a text file, not a firmware"),
        ({"initrd": "./none"}, "cannot read the initramfs"),
        ({"firmware": "./none"}, "cannot read the firmware"),
    ],
)
def test_other_files_are_looked_at_as_well(given: dict[str, str], said: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a text\n")
    with pytest.raises(UsageError, match=said):
        check_files([_cell(**{name: word.format(text=text) for name, word in given.items()})])


def test_each_file_makes_a_column_of_its_own(tmp_path: Path) -> None:
    ours = _cell()
    initrd, firmware = _cell(initrd="./i"), _cell(firmware="./f")
    both = _cell(initrd="./i", firmware="./f", kernel="./k")
    ids = [cell.id().id for cell in (ours, initrd, firmware, both)]
    assert ids == [
        "s.g5.kvm-pr.fixed",
        "s.g5.kvm-pr.fixed.initrd-own",
        "s.g5.kvm-pr.fixed.firmware-own",
        "s.g5.kvm-pr.own.firmware-own.initrd-own",
    ]
    assert len({cell.name for cell in (ours, initrd, firmware, both)}) == 4
    assert set(ours.images) - set(initrd.images) == {"initramfs-dom0-970-fixed"}
    assert firmware.firmware == "own"


def test_a_word_that_is_no_firmware_and_no_file_is_told() -> None:
    with pytest.raises(UsageError, match="platform g5 has no firmware 'openbio'; did you mean 'openbios'"):
        Choice("g5", firmware="openbio").check()


def test_a_template_is_only_for_the_same_files(make_fake_cell: Callable[..., RunSpec]) -> None:
    """A saved machine is not taken for one of another firmware, hypervisor, kernel or initramfs."""
    spec = make_fake_cell("prepare:\n  - boot-dom0\nsteps:\n  - answers: dom0\n")
    made = [inputs(spec, 1)]
    for name in ("bios", "boots", "kernel", "initrd"):
        for digest in ("1" * 64, "2" * 64):
            own = OwnFile(path=Path("/f"), sha256=digest)
            made.append(inputs(spec.model_copy(update={name: own}), 1))
    assert len({str(one) for one in made}) == len(made)


def test_qemu_is_given_the_firmware_of_the_user_s_in_place_of_the_default() -> None:
    platform, binary = find_platform("pseries-970"), QemuBinary(("qemu",), "10")
    fds = {"qmp": 3, "console": 4, "command": 5}
    own = MachineSpec(platform, binary, "own", bios=Path("/f")).arguments(fds)
    default = MachineSpec(platform, binary, "slof").arguments(fds)
    at = own.index("-bios")
    assert own[at : at + 2] == ["-bios", "/f"]
    assert own[:at] + own[at + 2 :] == default


@pytest.mark.parametrize(
    ("entry", "given", "said"),
    [
        ("kernel", {"kernel": "./k", "initrd": "./i"}, None),
        ("kernel", {"dom0": "./d"}, "--dom0: dom0's kernel is x itself"),
        ("kernel", {"hypervisor_image": "./h"}, "--hypervisor-image: x is a part of dom0's kernel"),
        ("modules", {"dom0": "./d", "hypervisor_image": "./h", "initrd": "./i"}, None),
        ("modules", {"kernel": "./k"}, "--kernel: x and its dom0's kernel are two files"),
        ("modules", {"kernel": "fixed"}, None),
        ("initrd", {"dom0": "./d", "hypervisor_image": "./h"}, None),
        ("initrd", {"initrd": "./i"}, "--initrd: x takes dom0's kernel where others take an initramfs"),
        ("linked-in", {"hypervisor_image": "./h"}, None),
        ("linked-in", {"dom0": "./d"}, "--dom0: x has its dom0 linked in"),
        ("none", {"hypervisor_image": "./h"}, None),
        ("none", {"kernel": "./k"}, "--kernel: x starts no dom0"),
        ("linked-in", {"kernel": "./k"}, "--kernel: x has its dom0 linked in"),
        ("none", {"dom0": "./d"}, "--dom0: x starts no dom0"),
        ("none", {"initrd": "./i"}, "--initrd: x starts no dom0"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_a_reason(
    entry: Entry, given: dict[str, str], said: str | None
) -> None:
    dom0 = None if entry == "kernel" else Dom0(entry=entry)
    hypervisor = find_hypervisor("kvm-pr").model_copy(update={"name": "x", "dom0": dom0})
    error = refusal(hypervisor, Choice(**given))  # type: ignore[arg-type]
    assert (error is None) == (said is None)
    if error is not None and said is not None:
        assert error.message.startswith(said)
        assert error.hint
