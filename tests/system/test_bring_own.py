"""Files that users bring, on real machines: where their results stand, and what a bisection makes of them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import images
from base.paths import PROJECT

Testbed = Callable[..., "subprocess.Popen[str]"]
STARTS = "feature: hypervisor-boot\nsummary: s\ncold: true\nsteps:\n  - hypervisor-starts\n"


def _kernel(name: str, target: Path) -> Path:
    shutil.copyfile(images.ensure([name])[name].file("vmlinux"), target)
    return target


def _run(testbed: Testbed, code: int, *words: str) -> str:
    child = testbed("run", *words)
    output, _ = child.communicate()
    assert child.returncode == code, output
    return output


def _cells(path: Path) -> dict[str, Any]:
    return {cell["id"]: cell for cell in json.loads(path.read_text())["cells"]}


def test_an_own_kernel_passes_in_a_column_of_its_own(testbed: Testbed, tmp_path: Path) -> None:
    kernel, report = _kernel("linux-970-fixed", tmp_path / "vmlinux"), tmp_path / "m.json"
    _run(testbed, 0, "dom0-boot", "-p", "g5", "--kernel", "fixed")
    _run(testbed, 0, "dom0-boot", "-p", "g5", "--kernel", str(kernel), "--json", str(report))
    (own,) = _cells(report).values()
    assert (own["id"], own["status"]) == ("dom0-boot.g5.kvm-pr.own", "yes")
    matrix = testbed("matrix", "--format", "json")
    both = {cell["kernel"]: cell for cell in json.loads(matrix.communicate()[0])["cells"]}
    assert both.keys() == {"fixed", "own"}
    # The same bytes, told as what they are: a file of nobody's recipe.
    assert both["own"]["inputs"]["kernel.build-id"] == both["fixed"]["inputs"]["kernel.build-id"]
    assert both["own"]["inputs"]["kernel.image"] != both["fixed"]["inputs"]["kernel.image"]


def test_a_kernel_without_the_fix_is_red(testbed: Testbed, tmp_path: Path) -> None:
    kernel = _kernel("linux-970-stock", tmp_path / "vmlinux")
    output = _run(testbed, 1, "domu-boot", "-p", "pseries-970", "--firmware", "vof", "--kernel", str(kernel))
    assert "1 not as expected" in output


def test_an_own_initramfs_and_firmware(testbed: Testbed, tmp_path: Path) -> None:
    made = images.ensure(["initramfs-dom0-970-fixed", "qemu-10.0"])
    packed = tmp_path / "initramfs.cpio.gz"
    with gzip.open(packed, "wb", 1) as stream:
        stream.write(made["initramfs-dom0-970-fixed"].file("initramfs.cpio").read_bytes())
    firmware = shutil.copyfile(made["qemu-10.0"].file("usr/share/qemu/openbios-ppc"), tmp_path / "openbios")
    report = tmp_path / "m.json"
    words = ["-k", "fixed", "--initrd", str(packed), "--firmware", str(firmware), "--json", str(report)]
    _run(testbed, 0, "dom0-boot", "-p", "g5", *words)
    (cell,) = _cells(report).values()
    assert (cell["id"], cell["status"]) == ("dom0-boot.g5.kvm-pr.fixed.firmware-own.initrd-own", "yes")
    assert {"firmware.image", "initrd.image"} <= cell["inputs"].keys()


def test_a_hypervisor_of_two_files_is_handed_dom0_as_its_initrd(
    testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux stands where a hypervisor would: what it says of its initrd shows that another kernel was handed over."""
    folder = tmp_path / "hypervisors"
    folder.mkdir()
    _kernel("linux-970-stock", folder / "vmlinux-dom0")
    (folder / "mine.yaml").write_text(
        "name: mine\ntitle: t\nplatforms: [g5]\nqemu: qemu-10.0\ndom0: {entry: initrd}\narguments: console=ttyPZ0\n"
        "kernels:\n  one:\n    title: t\n    hypervisor: linux-970-fixed\n    kernel: {file: vmlinux-dom0}\n"
        "boot: {shows: 'Linux version \\S+-fixed', then: any}\n"
    )
    scenario, report = tmp_path / "starts.yaml", tmp_path / "m.json"
    more = "  - console-showed: {domain: dom0, text: 'Kernel command line: console=ttyPZ0 -- console=ttyPZ0'}\n"
    scenario.write_text(STARTS + more)
    words = ["-H", "mine", "--hypervisors", str(folder), "--json", str(report)]
    _run(testbed, 0, str(scenario), *words)
    (cell,) = _cells(report).values()
    assert (cell["id"], cell["status"]) == ("starts.g5.mine.one", "yes")
    assert {"hypervisor.image", "hypervisor.recipe", "kernel.image"} <= cell["inputs"].keys()
    command = (Path(cell["directory"]) / "qemu.cmdline").read_text()
    assert f"-initrd {folder / 'vmlinux-dom0'}" in command
    # Another marker: the same machine is a failure of the product's.
    (folder / "mine.yaml").write_text((folder / "mine.yaml").read_text().replace("-fixed'", "-xen'"))
    assert "1 not as expected" in _run(testbed, 1, str(scenario), "-H", "mine", "--hypervisors", str(folder))


def test_git_bisect_finds_the_commit_that_lost_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six commits, one of which does not build, real runs find the first whose dom0 loses its domU."""
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))
    good, bad = _kernel("linux-970-fixed", tmp_path / "good"), _kernel("linux-970-stock", tmp_path / "bad")
    text = tmp_path / "text"
    text.write_text("make: *** Error 2\n")
    tree = tmp_path / "tree"
    tree.mkdir()

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        return subprocess.run(["git", *identity, *words], cwd=tree, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    commits = []
    for number, kernel in enumerate([good, good, text, good, bad, bad]):
        (tree / "kernel").write_text(f"{number} {kernel}\n")
        git("add", "-A")
        git("commit", "-qm", f"commit {number}")
        commits.append(git("rev-parse", "HEAD").strip())
    git("bisect", "start", commits[5], commits[0])
    words = "run domu-boot -p pseries-970 --firmware vof --bisect --kernel $(cut -d' ' -f2 kernel)"
    run = f"{sys.executable} -m harness {words}"
    done = subprocess.run(
        ["git", "bisect", "run", "sh", "-c", run],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{commits[4]} is the first bad commit" in done.stdout
    assert "bisect: bad: domu-boot.pseries-970.kvm-pr.own.firmware-vof: boots u1: " in done.stdout
    assert "bisect: good: 1 of 1 cells passed" in done.stdout
    assert "bisect: cannot be tested: " in done.stdout + done.stderr
