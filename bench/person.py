"""`boot`: a person at `testbed boot`, from Enter in the host's shell to the answer to what they typed."""

from __future__ import annotations

import os
import sys
import time
from statistics import median

import pexpect

from base.paths import PROJECT
from bench.context import Context
from bench.model import BenchFailed, Measure, ratio, rounded

TIMES = 5
# What is asked of g5 (s): warm, and from switching on.
ASKED = {"g5": (1.5, 6.0)}
WITHIN = 180
LEAVE = "\x1d\x1d"


def boot(context: Context) -> None:
    """Let a person start a machine, warm and cold in turn, and type a sum."""
    for platform in context.platforms:
        context.tell(f"{platform}: the template")
        _answered(platform)
        warm, cold = [], []
        for number in range(1, context.times(TIMES) + 1):
            context.tell(f"{platform}: {number}")
            cold.append(_answered(platform, "--cold"))
            warm.append(_answered(platform))
        for what, samples, asked in zip(("warm", "cold"), (warm, cold), ASKED.get(platform, (None, None)), strict=True):
            context.add(
                Measure(
                    bench="boot",
                    what=f"{platform}: a typed answer, {what}",
                    got=round(median(samples), 2),
                    asked=asked,
                    unit="s",
                    samples={f"{what}.s": rounded(samples)},
                )
            )
        context.add(Measure(bench="boot", what=f"{platform}: warm / cold", got=ratio(warm, cold)))


def _answered(platform: str, *words: str) -> float:
    """Return how long it took (s). Raises BenchFailed."""
    began = time.monotonic()
    person = pexpect.spawn(
        sys.executable,
        ["-m", "harness", "boot", platform, *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm"},
        timeout=WITHIN,
        encoding="utf-8",
        codec_errors="replace",
    )
    try:
        person.expect("/ # ")
        person.send("echo [$((6*7))]\r")
        person.expect(r"\[42\]")
        taken = time.monotonic() - began
        person.send(LEAVE)
        person.expect(pexpect.EOF)
    except (pexpect.EOF, pexpect.TIMEOUT) as error:
        raise BenchFailed(f"`testbed boot {platform}` gave no answer: {error}") from error
    finally:
        person.close(force=True)
    return taken
