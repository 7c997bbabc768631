"""Memory in a device tree."""

from __future__ import annotations

import pytest

from harness.steps.machines import memory_size
from harness.verbs import StepFailed


@pytest.mark.parametrize(
    ("reg", "cells", "size"),
    [
        ("0000000040000000", (1, 1), 1 << 30),  # g5
        ("00000000000000000000000010000000", (2, 2), 256 << 20),  # pseries
        ("00000000200000004000000010000000", (1, 1), 768 << 20),  # two banks
        ("000000008000000040000000", (2, 1), 1 << 30),
    ],
)
def test_sizes_are_summed(reg: str, cells: tuple[int, int], size: int) -> None:
    assert memory_size(reg, *cells) == size


@pytest.mark.parametrize("reg", ["", "00000000", "000000004000000"])
def test_a_reg_that_is_not_whole_is_told(reg: str) -> None:
    with pytest.raises(StepFailed, match="is not made of 1"):
        memory_size(reg, 1, 1)
