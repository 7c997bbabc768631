"""The matrix for people: a coloured table, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.matrix import SIMULATED, Column, Matrix, MatrixCell
from results.model import Status
from results.stored import Stored

if TYPE_CHECKING:
    from rich.console import Console

# Colours only underline the words, which stay readable without them.
STYLES = {
    Status.YES: "bold green",
    Status.CLOSE: "bold yellow",
    Status.NO: "bold red",
    Status.UNTESTED: "dim",
    Status.NA: "dim",
}
# Characters to a line where no terminal says how many there are.
LOG_WIDTH = 120
EMPTY = "no results yet: `./testbed run` makes some"


def wide_console() -> Console:
    """Return a console for standard output: as wide as the terminal, or wide enough for the table in a log."""
    from rich.console import Console  # noqa: PLC0415  (lazy: `--help` stays quick)

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)


def print_table(matrix: Matrix, console: Console, notes: Sequence[str] = ()) -> None:
    """Print the table, the runs behind it, and a line with the evidence for all that is not `yes`."""
    from rich import box  # noqa: PLC0415  (lazy: `--help` stays quick)
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=SIMULATED, title_justify="left", title_style="bold", box=box.SIMPLE_HEAVY)
    table.add_column("feature", no_wrap=True)
    for column in matrix.columns:
        # Platforms' names are long: on a narrow terminal they are folded rather than cut.
        marked = ["(reference)"] if matrix.is_reference(column) else []
        table.add_column("\n".join([*filter(None, column), *marked]), overflow="fold", min_width=len(Status.UNTESTED))
    table.add_column(matrix.reference.replace(" ", "\n", 1), style="dim")
    for feature in matrix.features:
        cells = [_styled(matrix.cell(feature.name, column)) for column in matrix.columns]
        table.add_row(escape(feature.title), *cells, feature.reference or "-")
    console.print(table)
    for line in footer(matrix):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for stored in matrix.remarkable():
        result = stored.result
        head = f"[{STYLES[result.status]}]{result.status}[/] {escape(result.cell.id)} ({result.verdict})"
        text = f"\n{head}: {escape(one_line(result.message))}\n    {escape(str(stored.evidence))}"
        console.print(text, highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"\nnote: {one_line(note)}", markup=False, highlight=False, soft_wrap=True)


def markdown(matrix: Matrix, notes: Sequence[str] = ()) -> str:
    """Return the matrix as a Markdown table with its legend."""
    heads = ["feature", *(_head(matrix, column) for column in matrix.columns), matrix.reference]
    rows = [
        [
            feature.title,
            *(_words(matrix.cell(feature.name, column)) for column in matrix.columns),
            feature.reference or "-",
        ]
        for feature in matrix.features
    ]
    lines = [f"*{SIMULATED}*", "", _row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows), ""]
    lines += [f"{line}  " for line in footer(matrix)]
    if remarkable := matrix.remarkable():
        lines += ["", *(_item(stored) for stored in remarkable)]
    if notes:
        lines += ["", *(f"- note: {plain(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def footer(matrix: Matrix) -> list[str]:
    """Return lines that say when, and from which runs, the statuses are."""
    runs = matrix.runs()
    if not runs:
        return [EMPTY]
    when = sorted(stored.result.started for stored in matrix.results)
    first, last = f"{when[0]:%Y-%m-%d %H:%M}", f"{when[-1]:%Y-%m-%d %H:%M}"
    span = first if first == last else f"{first} to {last}"
    shown = ", ".join(runs[-3:]) + (f" and {len(runs) - 3} before" if len(runs) > 3 else "")
    stale = [f"stale ({reason}): {count(len(found), 'cell')}" for reason, found in matrix.stale().items()]
    return [
        f"{count(len(matrix.results), 'cell')}, {span} UTC, from {'run' if len(runs) == 1 else 'runs'} {shown}",
        *stale,
    ]


def count(number: int, what: str) -> str:
    """Return a number with its noun: `1 cell`, `8 cells`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def one_line(text: str) -> str:
    """Return `text` without line breaks and runs of spaces."""
    return " ".join(text.split())


def _words(cell: MatrixCell) -> str:
    return f"{cell.status} ({cell.remark})" if cell.remark else cell.status.value


def _styled(cell: MatrixCell) -> str:
    remark = f" [dim]({cell.remark})[/]" if cell.remark else ""
    return f"[{STYLES[cell.status]}]{cell.status}[/]{remark}"


def _head(matrix: Matrix, column: Column) -> str:
    return "<br>".join([*filter(None, column), *(["(reference)"] if matrix.is_reference(column) else [])])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in one_line(text))


def _item(stored: Stored) -> str:
    result = stored.result
    message = plain(result.message)
    return f"- **{result.status}** `{result.cell.id}` ({result.verdict}): {message} (`{stored.evidence}`)"
