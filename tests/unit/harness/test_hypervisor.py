"""A hypervisor's own start: what its file says, and what the verbs make of what a machine shows."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from base.errors import UsageError
from base.yamlmodel import YamlError, load_folder
from harness.hypervisor import FOLDER, TOOLSTACKS, Boot, Hypervisor, find_hypervisor, load_hypervisors
from harness.kernel import BuildIdPlace, find_build_id, identify, identify_hypervisor
from harness.resolve import Resolved
from harness.runspec import RunSpec
from harness.steps.answering import boot_silence
from harness.toolstacks import find_toolstack
from harness.verbs import StepFailed
from harness.worker import run_cell
from results.features import load_features
from results.model import Result
from sim.platform import find_platform
from sim.qemu import QemuBinary

if TYPE_CHECKING:
    from harness.cell import Cell

FAKE = Path(__file__).parents[2] / "fakes" / "fake_qemu.py"
BUILD_ID = "c0ffee42"
NOTE = struct.pack("<III", 4, 4, 3) + b"GNU\0" + bytes.fromhex(BUILD_ID)
STARTS = "steps: [hypervisor-starts, same-hypervisor, hypervisor-goes-on]\n"


def elf(path: Path, note: bytes = NOTE, kind: int = 4) -> Path:
    """Write a little-endian ELF file for PowerPC whose one segment (PT_NOTE is 4) and section hold a note."""
    strings = b"\0.note\0"
    at = 64 + 56
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 21, 1, 0, 64, at + 64, 2, 64, 56, 1, 64, 3, 2)
    segment = struct.pack("<IIQQQQQQ", kind, 4, at, 0xC00000000005ACA0, 0x5ACA0, len(note), len(note), 4)
    section = "<IIQQQQIIQQ"
    sections = struct.pack(section, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    sections += struct.pack(section, 1, 7, 2, 0, at, len(note), 0, 0, 4, 0)
    sections += struct.pack(section, 1, 3, 0, 0, at + 40, len(strings), 0, 0, 1, 0)
    path.write_bytes(header + segment + note.ljust(40, b"\0") + strings.ljust(24, b"\0") + sections)
    return path


def test_a_hypervisors_build_id_is_found_in_its_file(tmp_path: Path) -> None:
    file = elf(tmp_path / "xen")
    identity = identify_hypervisor(file, "4.20")
    assert (identity.release, identity.build_id, identity.order) == ("4.20", BUILD_ID, "little")
    assert find_build_id(file) == BuildIdPlace(0x5ACA0, len(NOTE))
    assert find_build_id(elf(tmp_path / "not-loaded", kind=1)) is None
    assert find_build_id(elf(tmp_path / "without", note=b"")) is None
    with pytest.raises(UsageError, match="no Linux kernel"):
        identify(file)
    with pytest.raises(UsageError, match="cannot read the hypervisor"):
        identify_hypervisor(tmp_path / "none", "")
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(UsageError, match="is not an ELF file"):
        identify_hypervisor(file, "")


def test_nobody_answers_a_command_where_there_is_no_dom0() -> None:
    with pytest.raises(ValueError, match="no dom0 to answer"):
        Boot(shows="x", command="true", then="power-off")
    with pytest.raises(ValueError, match="not a regular expression"):
        Boot(shows="(")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("xen", "qemu: qemu-10.0", "qemu: qemu-10.0\ntoolstack: xl", "without one, it is not"),
        ("xen", "    file: xen", "    file: xen\n    initrd: i", "there is no place for an `initrd`"),
        ("kvm-hv", "toolstack: qemu\n", "", "with a `toolstack`"),
        ("kvm-hv", "    domu-kernel: linux-power9\n", "", "in each kernel a `domu-kernel`"),
        ("kvm-hv", ", command: hvc1", "", "a domU needs a command channel"),
    ],
)
def test_a_hypervisor_has_a_dom0_with_all_that_belongs_to_it_or_nothing_of_it(
    name: str, old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert old in text
    (tmp_path / f"{name}.yaml").write_text(text.replace(old, new))
    with pytest.raises(YamlError, match=told):
        load_folder(tmp_path, Hypervisor)


def test_what_belongs_to_a_dom0_is_refused_where_there_is_none() -> None:
    with pytest.raises(StepFailed, match="xen has no toolstack"):
        find_hypervisor("xen").domu.cpu  # noqa: B018  (the property is what is tested)


@pytest.mark.parametrize(("own", "within", "silence"), [(None, 90, 45), (None, 240, 120), (5, 90, 5), (5, 240, 45)])
def test_how_long_a_boot_may_be_silent(own: float | None, within: float, silence: float) -> None:
    hypervisor = find_hypervisor("xen")
    boot = hypervisor.boot.model_copy(update={"silence": own})
    cell = SimpleNamespace(hypervisor=hypervisor.model_copy(update={"boot": boot}))
    assert boot_silence(cast("Cell", cell), within) == silence


@pytest.fixture
def run_xen(
    make_fake_cell: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Return a runner of steps on a fake machine with that behaviour, under Xen with a build id."""

    def run(steps: str, behaviour: str, build_id: str = BUILD_ID, file: Path | None = None) -> Result:
        spec = make_fake_cell(steps)
        identity = spec.kernel_identity.model_copy(update={"build_id": build_id, "order": "little"})
        change = {"hypervisor": find_hypervisor("xen"), "platform": find_platform("powernv9"), "firmware": "skiboot"}
        change |= {"initrd": None, "domu_identity": None, "kernel_identity": identity}
        change["cell"] = spec.cell.model_copy(update={"platform": "powernv9", "hypervisor": "xen", "kernel": "debian"})
        qemu = QemuBinary((sys.executable, str(FAKE), behaviour), "10.0.13")
        resolved = Resolved(qemu, file or elf(tmp_path / "xen"))
        monkeypatch.setattr("harness.worker.resolve", lambda _: resolved)
        (tmp_path / "cell").mkdir()
        return run_cell(spec.model_copy(update=change), tmp_path / "cell")

    return run


def test_a_hypervisor_without_a_dom0_starts_and_ends(run_xen: Callable[..., Result], tmp_path: Path) -> None:
    result = run_xen(STARTS, "hello")
    assert (result.raw, result.status) == ("pass", "yes"), result.message
    assert [step.message for step in result.steps] == [
        "Hello, ppc64le!",
        f"6.1.0-fixed, build id {BUILD_ID} at 0x5aca0",
        "guest-shutdown",
    ]
    assert (tmp_path / "cell/hypervisor.note").read_bytes() == NOTE


@pytest.mark.parametrize(
    ("behaviour", "steps", "told"),
    [
        ("power-off", STARTS, "switched off or reset (guest-shutdown) before console 0 showed /Hello, ppc64le!/"),
        ("hello-reset", STARTS, "the machine ended with guest-reset, not with a power-off"),
        (
            "hello",
            "prepare: [boot-dom0]\nsteps: [create: u1]\n",
            "dom0 opens its command channel: the machine was switched off or reset before that (guest-shutdown)",
        ),
        ("hello", "steps: [hypervisor-starts, hypervisor-ready]\n", "xen has no toolstack"),
    ],
)
def test_what_does_not_start_or_end_in_order_is_told(
    behaviour: str, steps: str, told: str, run_xen: Callable[..., Result]
) -> None:
    result = run_xen(steps, behaviour)
    assert result.raw == "fail"
    assert told in result.message


@pytest.mark.parametrize(
    ("boot", "told"),
    [
        (Boot(shows="version fa.e"), None),
        (Boot(shows="version 6"), "dom0's console has shown nothing that matches /version 6/"),
        (Boot(shows=r"^4\d$", command="echo $((6 * 7))"), None),
        (Boot(shows="^43$", command="echo $((6 * 7))"), "dom0 answers `echo $((6 * 7))` with no /^43$/, but: 42"),
        (Boot(shows="", command="echo no such thing; exit 1"), "no such thing (exit status 1"),
    ],
)
def test_with_a_dom0_its_answer_or_its_console_tells(
    boot: Boot, told: str | None, make_fake_cell: Callable[..., RunSpec], tmp_path: Path
) -> None:
    spec = make_fake_cell("steps: [hypervisor-starts]\n")
    hypervisor = spec.hypervisor.model_copy(update={"boot": boot})
    (tmp_path / "cell").mkdir()
    result = run_cell(spec.model_copy(update={"hypervisor": hypervisor}), tmp_path / "cell")
    assert result.raw == ("fail" if told else "pass"), result.message
    assert (told or "") in result.message


def test_another_hypervisor_than_the_one_that_was_built(run_xen: Callable[..., Result], tmp_path: Path) -> None:
    result = run_xen(STARTS, "hello", build_id="00")
    assert result.raw == "fail"
    assert f"at 0x5aca0 the machine has {BUILD_ID}, built was 00" in result.message


def test_a_hypervisor_without_a_build_id_cannot_be_told(run_xen: Callable[..., Result], tmp_path: Path) -> None:
    result = run_xen(STARTS, "hello", file=elf(tmp_path / "bare", note=b""))
    assert result.raw == "fail"
    assert "has no build id by which to tell it" in result.message


def test_every_toolstack_that_a_file_may_name_is_there() -> None:
    for name in TOOLSTACKS:
        assert find_toolstack(name)
    # A user's file is held against the same names.
    assert {found.toolstack for found in load_hypervisors().values()} <= {None, *TOOLSTACKS}


def test_the_rows_that_a_hypervisor_is_there_for_exist() -> None:
    rows = set(load_features().names())
    limited = {name: set(one.features) for name, one in load_hypervisors().items() if one.features}
    assert "payload" in limited
    assert not set().union(*limited.values()) - rows
