"""A clock is off only by what the readings leave no doubt of."""

from __future__ import annotations

import pytest

from harness.steps.timekeeping import Noted, deviation, passed

FIRST = Noted(clock=5.0, after=100.0, before=100.5, machine="a")
LAST = Noted(clock=15.0, after=110.0, before=112.0, machine="a")


def test_what_has_passed_lies_between_the_outermost_and_the_innermost_moments() -> None:
    assert passed(FIRST, LAST) == (9.5, 12.0)


@pytest.mark.parametrize(
    ("came", "off"), [(9.5, 0.0), (12.0, 0.0), (10.0, 0.0), (9.0, -0.5), (14.0, 2.0), (0.0, -9.5), (-5.0, -14.5)]
)
def test_only_what_is_certain_counts(came: float, off: float) -> None:
    assert deviation(came, *passed(FIRST, LAST)) == off
