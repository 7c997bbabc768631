"""Scenarios as pytest items: each cell is a test, so `-k`, `-n` and `--junitxml` do what people expect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import choosing, parallel

if TYPE_CHECKING:
    from harness.plan import PlannedCell
    from results.model import Result
    from results.store import Run

RUN_ID = "testbed_run"


class CellFailed(Exception):
    """A cell ended otherwise than expected; the text is all that a reader needs to begin with."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose cells."""
    group = parser.getgroup("testbed", "cells of scenarios")
    for name, text in choosing.OPTIONS.items():
        group.addoption(f"--{name}", default="" if name == "append" else None, help=text)
    group.addoption("--cold", action="store_true", help="boot everything: use no templates, and leave none")
    group.addoption("--testbed-run", help="add the results to this run (default: a new one)")
    parallel.add_option(group)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect scenario files: those in a folder called `scenarios`, and any YAML file that is named."""
    if file_path.suffix != ".yaml":
        return None
    named = any(Path(argument.partition("::")[0]).absolute() == file_path for argument in parent.config.args)
    if named or file_path.parent.name == "scenarios":
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """A scenario file; its items are the cells."""

    def collect(self) -> Iterator[CellItem]:
        """Plan the cells of the scenario. Its errors are shown as they are, without a traceback."""
        from base.errors import TestbedError  # noqa: PLC0415  (lazy: the plugin loads with every pytest)
        from harness.bring import check_files  # noqa: PLC0415
        from harness.plan import Choice, plan  # noqa: PLC0415
        from harness.scenario import load_scenario  # noqa: PLC0415

        try:
            given = choosing.given(self.config.getoption)
            choice = Choice(**given, templates="none" if self.config.getoption("cold") else "make")
            choice.check()
            cells = plan([load_scenario(self.path)], choice)
            # Of cells that are named one by one, the others are none of the user's.
            named = self._named()
            check_files(cell for cell in cells if not named or cell.name in named)
        except TestbedError as error:
            raise self.CollectError(str(error)) from error
        for cell in cells:
            yield CellItem.from_parent(self, name=cell.name, cell=cell)

    def _named(self) -> set[str]:
        """Return the names of the cells of this file that were asked for; none if it was the file."""
        given = (argument.partition("::") for argument in self.config.args)
        names = {name for path, _, name in given if Path(path).absolute() == self.path}
        return set() if "" in names else names


class CellItem(pytest.Item):
    """One cell."""

    def __init__(self, *, cell: PlannedCell, **rest: Any) -> None:
        super().__init__(**rest)
        self.cell = cell

    def runtest(self) -> None:
        """Execute the cell; its verdict becomes pytest's outcome."""
        from harness.junit import properties  # noqa: PLC0415
        from harness.worker import leave_out  # noqa: PLC0415

        run = _run(self.config)
        if reason := self.cell.not_applicable:
            directory = run.cell_directory(self.cell.id())
            result = leave_out(run.id, self.cell.id(), reason, directory)
        else:
            result, directory = self._execute(run)
        self.user_properties += properties(result, directory)
        match str(result.verdict):
            case "pass":
                return
            case "xfail":
                pytest.xfail(result.message)
            case "skip":
                pytest.skip(result.message)
        raise CellFailed(describe(result, directory))

    def _execute(self, run: Run) -> tuple[Result, Path]:
        """Run the cell when it is its turn. What keeps it from beginning at all is a result too."""
        from base.errors import TestbedError  # noqa: PLC0415
        from harness.attempts import run_attempts  # noqa: PLC0415
        from harness.specs import make_spec  # noqa: PLC0415

        with ExitStack() as stack:
            try:
                stack.enter_context(parallel.turn(self.config, self.cell))
                spec = make_spec(self.cell, run.id)
            except TestbedError as error:
                directory = run.cell_directory(self.cell.id())
                return parallel.give_up(run.id, self.cell, str(error), directory), directory
            return run_attempts(spec, run)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what happened to the cell, and a traceback only for errors of the test bed itself."""
        from base.errors import TestbedError  # noqa: PLC0415

        # An expected failure is told by its reason. For a traceback, pytest has Python parse whole modules, in which
        # a thread of execnet's can make Python 3.11 fail (SystemError: AST constructor recursion depth mismatch).
        if isinstance(excinfo.value, CellFailed | TestbedError | pytest.xfail.Exception):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return what pytest prints as the item's headline."""
        cell = self.cell
        return self.path, 0, f"{cell.scenario.name}: {cell.platform.name}, {cell.hypervisor.name} ({cell.kernel})"


def describe(result: Result, directory: Path) -> str:
    """Return a failed cell in a few lines: verdict, steps, the alarm if there was one, where to look."""
    lines = [f"{result.cell.id}: {result.verdict}: {result.message}", ""]
    for step in result.steps:
        lines.append(f"  {step.verdict:8} {step.elapsed:7.1f} s  {step.title}")
    alarm = directory / "alarm.txt"
    if alarm.exists():
        lines += ["", *(f"  | {line}" for line in alarm.read_text(errors="replace").splitlines()[:20])]
    return "\n".join([*lines, "", f"evidence: {directory}"])


_RUN_KEY = pytest.StashKey["Run"]()


def _run(config: pytest.Config) -> Run:
    """Return the run that this session's cells belong to; the first cell makes it unless it was named."""
    from results.store import create_run, find_run  # noqa: PLC0415

    if _RUN_KEY not in config.stash:
        named = config.getoption("--testbed-run") or getattr(config, "workerinput", {}).get(RUN_ID)
        config.stash[_RUN_KEY] = find_run(named) if named else create_run(["pytest", *config.invocation_params.args])
    return config.stash[_RUN_KEY]


def _runs_scenarios(config: pytest.Config) -> bool:
    return any(Path(argument.partition("::")[0]).name.endswith(("scenarios", ".yaml")) for argument in config.args)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let all parallel workers of a session that runs scenarios add to one run, and take turns."""
    if _runs_scenarios(node.config):
        node.workerinput[RUN_ID] = _run(node.config).id
        parallel.equip(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand cells out in their order; everything else as the user has asked."""
    return parallel.make_scheduler(config, log) if _runs_scenarios(config) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the cells that are ready, and of these with the longest."""
    if items and not config.option.collectonly and all(isinstance(item, CellItem) for item in items):
        parallel.arrange(config, items)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the session began."""
    parallel.stop(config)
