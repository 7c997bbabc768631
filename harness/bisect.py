"""What a run means to `git bisect run`: good, bad, cannot be tested, or stop at once (git-bisect(1)).

The launcher reads this before there is any environment: what needs one is imported late.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from base.errors import EXIT_USAGE, InfraError, TestbedError

if TYPE_CHECKING:
    from results.model import Result

OPTION = "--bisect"
GOOD, BAD, UNTESTABLE, STOP = 0, 1, 125, 128
_WORDS = {GOOD: "good", BAD: "bad", UNTESTABLE: "cannot be tested", STOP: "stop"}


@dataclass(frozen=True)
class Judgement:
    """An exit code for `git bisect run`, and why it is that one."""

    code: int
    why: str

    def __str__(self) -> str:
        return f"bisect: {_WORDS[self.code]}: {self.why}"


class BadImage(TestbedError):
    """A file of the user's cannot be started: of this commit, not a mistake on the command line."""


def judge(results: Sequence[Result]) -> Judgement:
    """Say what results, one or more, mean for the commit that was built.

    Expectations have no say: what is known to fail fails. A failure of a scenario's preparation, or trouble of ours,
    says nothing of the feature; a failure of the feature outweighs both.
    """
    from results.model import Verdict, deciding_step  # noqa: PLC0415

    failed = [result for result in results if result.raw in (Verdict.FAIL, Verdict.TIMEOUT)]
    for result in failed:
        step = deciding_step(result.steps)
        if step is not None and step.section == "feature":
            return Judgement(BAD, f"{result.cell.id}: {step.title}: {_first_line(step.message)}")
    for result in failed:
        step = deciding_step(result.steps)
        title = step.title if step else "a step"
        return Judgement(UNTESTABLE, f"{result.cell.id} did not get as far as the feature: {title} failed")
    for result in results:
        if result.raw is Verdict.INFRA:
            return Judgement(UNTESTABLE, f"{result.cell.id}: {_first_line(result.message)}")
    passed = sum(result.raw is Verdict.PASS for result in results)
    if not passed:
        return Judgement(STOP, "no cell applies here, so no commit can be judged")
    return Judgement(GOOD, f"{passed} of {passed} cells passed")


def guarded(act: Callable[[], Judgement]) -> int:
    """Do what ends in a judgement, tell it, and return its code.

    Whatever keeps it from being made must never count as `bad`: git takes most exit codes for that, 1 of a crash
    and 2 of a wrong option among them.
    """
    try:
        judgement = act()
    except (BadImage, InfraError) as error:
        judgement = Judgement(UNTESTABLE, str(error))
    except TestbedError as error:
        judgement = Judgement(STOP, str(error))
    except SystemExit as error:
        # argparse has told what is wrong; `--help` is no mistake.
        if error.code in (0, None):
            raise
        judgement = Judgement(STOP, f"exit code {error.code or EXIT_USAGE}")
    except Exception:
        traceback.print_exc()
        judgement = Judgement(STOP, "error in the test bed itself")
    print(judgement, file=sys.stdout if judgement.code in (GOOD, BAD) else sys.stderr)
    return judgement.code


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
