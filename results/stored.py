"""A result as the store gives it: with the directory of its evidence, its inputs, and whether it can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from base.errors import InfraError
from results.inputs import inputs_of
from results.journal import is_running, load_result
from results.model import Result, Status, Summary, Verdict
from results.runs import split_folder
from results.seal import RESULT, SealCheck, SealState, check_seal

# So many faults of a broken seal are named.
NAMED = 3


@dataclass(frozen=True)
class Stored:
    """A result and the directory its evidence is in.

    `inputs` are what it was made from (results.inputs; empty when not known). `seal` tells whether the directory is
    as it was when it was finished, `faults` what is not; then `result` says nothing about the product. `stale` are
    the reasons for which it may say nothing about today; empty unless the reader was asked to look for them. So is
    `triage`, whose failure it is (results.triage), by the cells `judged_by`; `reference`: others are judged by it.
    `stamp` is the fingerprint (results.seal) of the files that all this was read from, "" if it was not taken.
    """

    result: Summary
    directory: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    seal: SealState = SealState.UNSEALED
    faults: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    reference: bool = False
    triage: str = ""
    judged_by: tuple[str, ...] = ()
    stamp: str = field(default="", compare=False)

    @property
    def attempt(self) -> int:
        """Which attempt of its run this is: 2 after trouble of ours in the first."""
        return split_folder(self.directory.name)[1]

    @property
    def retried(self) -> bool:
        """Whether this is a second attempt."""
        return self.attempt > 1

    @property
    def edited(self) -> bool:
        """Whether the directory is not as it was when it was finished."""
        return self.seal is SealState.BROKEN

    @property
    def evidence(self) -> Path:
        """Return the console log that was written to last, or the directory if there is none."""
        logs = [(path.stat().st_mtime_ns, path) for path in self.directory.glob("console/*.log")]
        return max(logs)[1] if logs else self.directory

    def load(self) -> Result:
        """Read the whole result, steps and facts. Raises InfraError."""
        return load_result(self.directory)


def observe(directory: Path) -> Stored | None:
    """Read a result directory and check its seal; None while its cell is running.

    Raises InfraError when neither result nor journal can be read, or its name is not its cell's.
    """
    # Asked first: a cell that ends meanwhile is whole when it is read, one that dies has died.
    if is_running(directory):
        return None
    result = load_result(directory)
    if split_folder(directory.name)[0] != result.cell.id:
        raise InfraError(
            f"a result of {result.cell.id} in a folder of another name", hint="give the folder its own name again"
        )
    check = _check(directory)
    stored = Stored(result.summary(), directory, inputs_of(directory, result), check.state, check.faults)
    return replace(stored, result=_distrusted(stored)) if stored.edited else stored


def _check(directory: Path) -> SealCheck:
    path = directory / RESULT
    try:
        # A run that died has no result, hence no seal.
        return check_seal(directory, path.read_bytes()) if path.exists() else SealCheck(SealState.UNSEALED)
    except (OSError, ValueError) as error:
        raise InfraError(f"cannot check the seal: {error}", where=str(directory)) from error


def _distrusted(stored: Stored) -> Summary:
    more = len(stored.faults) - NAMED
    told = ", ".join(stored.faults[:NAMED]) + (f" and {more} more" if more > 0 else "")
    said = f"{stored.result.status} ({stored.result.verdict})"
    return stored.result.model_copy(
        update={
            "verdict": Verdict.INFRA,
            "raw": Verdict.INFRA,
            "status": Status.UNTESTED,
            "expectation": None,
            "message": f"edited after it was finished ({told}); it said {said}",
        }
    )
