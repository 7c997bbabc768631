"""Errors that tell the user what happened, where, and what to do next."""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_INFRA = 3
EXIT_INTERRUPTED = 130


class TestbedError(Exception):
    """Root of all errors that the test bed raises on purpose.

    `hint` says what to do next, `where` names the place (`file:line:column`, a log file, a command).
    Chain the cause with `raise ... from`; the command line prints it below the message.
    """

    exit_code = EXIT_INFRA
    __test__ = False  # pytest would collect the name otherwise

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments need help to cross a process boundary (pytest-xdist, executors).
        return (_rebuild, (type(self), self.message, self.hint, self.where))


def _rebuild(kind: type[TestbedError], message: str, hint: str | None, where: str | None) -> TestbedError:
    error = kind.__new__(kind)
    TestbedError.__init__(error, message, hint=hint, where=where)
    return error


class UsageError(TestbedError):
    """The user's input is wrong: an option, a file, a name. Exit code 2."""

    exit_code = EXIT_USAGE


class InfraError(TestbedError):
    """Our fault or the host's, never the product's: no disk space, a tool missing, QEMU killed. Exit code 3."""
