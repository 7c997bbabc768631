"""The command line: finds the command, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from base.errors import EXIT_INFRA, EXIT_INTERRUPTED, EXIT_USAGE, TestbedError

# Command -> module with `main(argv) -> int` or `module:function`, and its line in --help. Lazily imported.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("harness.commands.run", "boot the hypervisors, run the scenarios, print the matrix"),
    "boot": ("harness.commands.boot", "an interactive console on a simulated machine"),
    "debug": ("harness.commands.debug", "gdb at dom0 or a domU of a simulated machine, or where a cell fails"),
    "trace": ("harness.commands.trace", "a domU's hypercalls, exits and interrupts: counted, timed, drawn"),
    "reproduce": ("harness.commands.reproduce", "a cell's bare QEMU command, run here or bundled for others"),
    "record": ("harness.commands.record", "record a boot, instruction by instruction"),
    "replay": ("harness.commands.replay", "replay a recorded boot, and tell whether it was the same"),
    "shell": ("harness.commands.shell", "Python with a simulated machine in it"),
    "matrix": ("harness.commands.matrix", "print the matrix from the results there are"),
    "compare": ("results.cli_compare", "what broke between two runs, and what changed beside it"),
    "baseline": ("results.cli_baseline", "give a run a name, to compare others with"),
    "results": ("results.cli_results", "list runs, a cell's history; verify that evidence is as it was"),
    "page": ("harness.commands.page", "write the status page, a folder of static files"),
    "new-scenario": ("harness.commands.new:scenario", "write a scenario to begin with"),
    "new-platform": ("harness.commands.new:platform", "write a platform to begin with"),
    "lint": ("harness.commands.lint", "check YAML files: each mistake by file, line and column"),
    "list": ("harness.commands.listing", "list platforms, hypervisors, scenarios or cells"),
    "images": ("harness.commands.images", "list, build, verify or remove images"),
    "templates": ("harness.commands.templates", "list or remove the saved machines from which cells start warm"),
    "doctor": ("harness.doctor", "check that this machine has what is needed"),
    "reap": ("harness.commands.reap", "end what a killed run left behind"),
    "bench": ("bench.cli", "measure the test bed against cold boots, bare QEMU and a naive script"),
    "test": ("harness.commands.test", "run the test bed's own tests through tox"),
}

EPILOG = """\
exit codes: 0 all as expected, 1 the product is not as expected, 2 usage or bad input,
            3 our or the host's fault, 130 interrupted
state:      TESTBED_CACHE and TESTBED_RESULTS name the folders (default: XDG's cache and state);
            TESTBED_MIRROR overrides the Debian mirror of this machine's apt, TESTBED_FACTOR scales deadlines,
            TESTBED_TEMPLATES limits saved machines (GiB), TESTBED_HYPERVISORS names folders of hypervisors of yours

`./testbed COMMAND --help` tells more."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the first word."""
    lines = "\n".join(f"  {name:12} {text}" for name, (_, text) in COMMANDS.items())
    made = argparse.ArgumentParser(
        prog="testbed",
        usage="testbed COMMAND [ARGUMENT...]",
        description="Boots real hypervisors on a simulated PowerPC machine and prints, from evidence, what works.\n\n"
        f"commands:\n{lines}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", help=argparse.SUPPRESS)
    made.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        parser().print_help()
        return EXIT_USAGE
    if words[0] in ("-h", "--help"):
        parser().print_help()
        return 0
    if words[0] not in COMMANDS:
        return _unknown(words[0])
    try:
        module, _, function = COMMANDS[words[0]][0].partition(":")
        code: int = getattr(importlib.import_module(module), function or "main")(words[1:])
    except TestbedError as error:
        tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ntestbed: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nobody is left to tell.
        sys.stderr.close()
        return EXIT_INFRA
    return code


def tell(error: BaseException) -> None:
    """Print an error as a user should see it: what, where, hint, and what caused it."""
    print(f"testbed: {error}", file=sys.stderr)
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause) not in str(error):
        print(f"  because: {type(cause).__name__}: {cause}", file=sys.stderr)


def _unknown(word: str) -> int:
    import difflib  # noqa: PLC0415  (lazy: only for mistakes)

    near = difflib.get_close_matches(word, COMMANDS, n=1)
    known = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(COMMANDS)}"
    print(f"testbed: unknown command '{word}'{known}", file=sys.stderr)
    return EXIT_USAGE
