"""What can go wrong between a recipe and its artifact, told apart by who can do something about it."""

from __future__ import annotations

from pathlib import Path

from base.errors import InfraError, UsageError

TAIL_LINES = 20


class FetchError(InfraError):
    """Something could not be downloaded: no network, no mirror, a signature or a digest that is wrong."""


class ToolError(InfraError):
    """A program that a recipe needs is not on this host."""


class BuildError(InfraError):
    """A recipe's own commands failed. The message ends with the last lines of the log, `where` is the log."""


class PatchError(UsageError):
    """A patch file does not apply to its source. The message holds what `patch` said."""


class ArtifactError(InfraError):
    """An artifact is not what its manifest says, or lacks a file that its user expects."""


class LockFileError(UsageError):
    """A lock file (`lock.json`) cannot be read."""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, indented, for an error message; nothing if it cannot be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
