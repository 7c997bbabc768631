"""The `sc 1` rewriter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images import rewrite_sc1
from images.errors import BuildError
from tests.unit.images.fake_project import Project

SC1 = bytes.fromhex("44000022")
NEW = bytes.fromhex("7c000268")
NOP = bytes.fromhex("60000000")


def test_every_aligned_site_is_replaced_and_counted() -> None:
    assert rewrite_sc1(NOP + SC1 + SC1 + NOP + SC1) == (NOP + NEW + NEW + NOP + NEW, 3)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_an_unaligned_pattern_is_data(shift: int) -> None:
    data = b"\0" * shift + SC1 + b"\0" * 8
    assert rewrite_sc1(data) == (data, 0)


def test_an_aligned_site_that_overlaps_an_unaligned_pattern_is_found() -> None:
    data = b"\x44" + SC1[1:3] + b"\x44" + SC1
    assert rewrite_sc1(data) == (data[:4] + NEW, 1)


def test_plain_sc_and_the_end_of_the_file_are_left_alone() -> None:
    data = bytes.fromhex("44000002") + SC1[:3]
    assert rewrite_sc1(data) == (data, 0)


@given(st.lists(st.sampled_from([SC1, NOP, b"\x44\0\0", b"\x22", b"\0"])).map(b"".join))
def test_it_is_the_word_by_word_replacement(data: bytes) -> None:
    words = [data[at : at + 4] for at in range(0, len(data), 4)]
    expected = b"".join(NEW if word == SC1 else word for word in words)
    assert rewrite_sc1(data) == (expected, words.count(SC1))


@pytest.mark.parametrize(("count", "fits"), [(1, False), (2, True), (3, False)])
def test_a_recipe_asserts_the_count(project: Project, count: int, fits: bool) -> None:
    (project.root / "code.bin").write_bytes(SC1 + NOP + SC1)
    project.recipe(
        "guest",
        f"""\
        inputs: [{{file: code.bin, as: code}}]
        build:
          rewrite-sc1: {{from: code, to: new.bin, keep: plain.bin, count: {count}}}
        """,
    )
    if not fits:
        with pytest.raises(BuildError, match=f"has 2 `sc 1`, the recipe expects {count}"):
            project.ensure("guest")
        assert not list(project.cache.glob("artifacts/*"))
        return
    artifact = project.ensure("guest")["guest"]
    assert artifact.file("new.bin").read_bytes() == NEW + NOP + NEW
    assert artifact.file("plain.bin").read_bytes() == SC1 + NOP + SC1
