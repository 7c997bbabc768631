from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import images
from base.paths import PROJECT, cache_root
from harness.display import Display
from harness.hypervisor import KERNEL
from harness.plan import Choice, plan
from harness.runspec import RunSpec
from harness.scenario import load_heads, load_scenario
from harness.specs import make_spec
from images.catalogue import load_catalogue
from sim.templates import TemplateStore

HEAD = "feature: domu-boot\nsummary: s\ndomus: [u1]\n"


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let children be interrupted: whoever started the tests in the background left SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _images(request: pytest.FixtureRequest) -> None:
    """Build what is missing before any test counts its time, and show it: on a new machine it takes a while."""
    cells = plan(load_heads().values(), Choice())
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled(), Display("images") as display:
        images.ensure(sorted({name for cell in cells for name in cell.images}), report=display.report)


@pytest.fixture
def spec_for(tmp_path: Path) -> Callable[..., RunSpec]:
    """Return a maker of run-specs for steps of the test's own, on g5 with KVM-PR, fixed, unless told otherwise."""

    def make(steps: str, platform: str = "g5", kernel: str = "fixed", **choice: Any) -> RunSpec:
        path = tmp_path / "sabotage.yaml"
        path.write_text(HEAD + steps)
        chosen = {"platform": platform, "hypervisor": "kvm-pr", "kernel": kernel, "templates": "use", **choice}
        (cell,) = plan([load_scenario(path)], Choice(**chosen))
        return make_spec(cell, "test")

    return make


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TemplateStore:
    """Return a store of templates of the test's own, beside the images of all."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in cache_root().iterdir():
        if path.name != "templates":
            (cache / path.name).symlink_to(path)
    monkeypatch.setenv("TESTBED_CACHE", str(cache))
    return TemplateStore()


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the test runs in a results folder of its own."""
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def testbed(own_results: None) -> Callable[..., subprocess.Popen[str]]:
    """Return a starter of `testbed` commands with a results folder of their own."""

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *words],
            # Whatever ends it by a fatal signal says where.
            env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


class Unfixed(NamedTuple):
    """A kernel that lacks a fix, and the initramfs of a dom0 whose domUs lack it too."""

    kernel: Path
    initrd: Path


@pytest.fixture
def without_fix(tmp_path: Path) -> Callable[[str], Unfixed]:
    """Return a builder of the fixed kernel, and of what its dom0 runs, with one patch (`linux/0001`) left out."""

    def build(patch: str) -> Unfixed:
        folder = tmp_path / "images"
        for part in ("recipes", "patches", "config", "guest"):
            shutil.copytree(PROJECT / "images" / part, folder / part)
        for part in ("payloads", "mutants"):
            shutil.copytree(PROJECT / "tests" / part, tmp_path / "tests" / part)
        recipe = folder / "recipes" / f"{patch.partition('/')[0]}-970.yaml"
        kept = [line for line in recipe.read_text().splitlines() if f"- {patch}-" not in line]
        assert len(kept) == len(recipe.read_text().splitlines()) - 1
        recipe.write_text("\n".join(kept) + "\n")
        kernel, initrd = "linux-970-fixed", "initramfs-dom0-970-fixed"
        made = images.ensure([kernel, initrd], catalogue=load_catalogue(recipe.parent))
        return Unfixed(made[kernel].file(KERNEL), made[initrd].file("initramfs.cpio"))

    return build
