from __future__ import annotations

import re

from harness.tap import PLAN, read_results

SHOWN = "hv: noise\r\nok 1 - it is on\r\nnot ok 2 - it stays on (is 0x0, wanted 0x1)\r\nok 3 - it goes off\r\n1..4\r\n"


def test_results_are_told_apart() -> None:
    results = read_results(SHOWN, 4)
    assert (results.passed, results.failed, results.missing) == (2, ("2: it stays on (is 0x0, wanted 0x1)",), 1)


def test_a_result_that_comes_twice_counts_once() -> None:
    assert read_results("not ok 1 - a\nok 1 - a\n", 1).failed == ("1: a",)


def test_the_plan_is_a_line_of_its_own() -> None:
    found = re.search(PLAN, SHOWN)
    assert found
    assert found[1] == "4"
    assert not re.search(PLAN, "ok 1 - as 1..4 says\n")
