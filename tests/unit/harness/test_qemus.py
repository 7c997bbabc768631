from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import images
from base.errors import InfraError
from harness.qemus import image_version, known_qemus
from images.catalogue import load_catalogue
from images.store import Artifact, Origin, Provenance


def _built(monkeypatch: pytest.MonkeyPatch, name: str, *inputs: Origin) -> Artifact:
    monkeypatch.setattr(Artifact, "provenance", Provenance(name, "", inputs, {}, "", 0.0, ""))
    return Artifact(name, "0" * 64, Path("/none"))


def test_debians_qemus_and_ours_are_known_by_their_words() -> None:
    assert {"7.2", "10.0", "970hv", "fixed"} <= set(known_qemus())
    assert known_qemus()["970hv"] == "qemu-970hv"
    assert "970hv" not in known_qemus("x86_64")
    assert "970" not in known_qemus()


def test_a_recipe_of_the_users_is_a_word_for_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = replace(load_catalogue(), recipes={"qemu-mine": load_catalogue().recipes["qemu-fixed"]})
    monkeypatch.setattr(images, "load_catalogue", lambda: catalogue)
    known_qemus.cache_clear()
    try:
        assert known_qemus() == {"mine": "qemu-mine"}
    finally:
        known_qemus.cache_clear()


def test_ours_does_not_count_as_the_one_that_it_was_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    debian = Origin("package", "qemu-system-ppc", "1:10.0.13+ds-0+deb13u1", "")
    assert image_version(_built(monkeypatch, "qemu-10.0", debian)) == "10.0.13"
    assert image_version(_built(monkeypatch, "qemu-x86-10.0", debian)) == "10.0.13"
    source = Origin("source", "qemu", "1:10.0.13+ds-0+deb13u1", "")
    assert image_version(_built(monkeypatch, "qemu-970hv", source)) == "10.0.13+970hv"
    assert image_version(_built(monkeypatch, "qemu-10.1-mine", source)) == "10.0.13+10.1-mine"
    assert image_version(_built(monkeypatch, "qemu-x86-mine", source)) == "10.0.13+mine"
    with pytest.raises(InfraError, match="does not record the version"):
        image_version(_built(monkeypatch, "qemu-10.0"))
