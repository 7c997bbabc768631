"""The examples in docs/ci.md are files that a CI reads, and call commands that exist."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from base.paths import PROJECT
from harness.commands import run
from results import cli, cli_baseline, cli_compare

TEXT = (PROJECT / "docs/ci.md").read_text()
PARSERS = {
    "run": run.parser,
    "matrix": cli.parser,
    "compare": cli_compare.parser,
    "baseline": cli_baseline.parser,
}


def commands() -> list[str]:
    joined = re.sub(r"\\\n\s+|\n\s+(?=--)", " ", TEXT)
    return sorted(set(re.findall(r"\./testbed [a-z]+ [^\n;#`]*", joined)))


@pytest.mark.parametrize("command", commands())
def test_commands_take_the_options_that_they_are_given(command: str) -> None:
    plain = re.sub(r"\$\{\{.*?\}\}|\$CI_NODE_\w+", "1", command).replace("1/1", "1/3")
    plain = re.sub(r'"\$\{known\[@\]\}"|\$known', "--baseline baseline/", plain)
    words = shlex.split(re.split(r" (?:>|\|\|)", plain)[0])
    PARSERS[words[1]]().parse_args(words[2:])


def test_the_examples_are_yaml_with_jobs_that_share_what_they_need() -> None:
    github, gitlab = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
    assert list(github["jobs"]) == ["baseline", "cells", "together"]
    assert {"baseline", "cells", "together"} <= set(gitlab)
    assert gitlab["together"]["cache"]["policy"] == "push"
    assert len(commands()) >= 8
