"""`store`: the store of results with a million cells, by `bench.results`."""

from __future__ import annotations

from bench import results
from bench.context import Context
from bench.model import Measure

CELLS, DIFFERENT = 1_000_000, 1000


def store(context: Context) -> None:
    """Measure the matrix of a million stored cells, an index made anew, and a comparison of two large runs."""
    with context.place("store") as folder:
        context.tell(f"{CELLS:,} stored cells")
        found = results.measure(folder, CELLS, DIFFERENT)
    for name, what in (
        ("matrix", f"`testbed matrix` with {found['matrix']['cells']:,} stored cells"),
        ("rebuild", f"the index of {found['rebuild']['directories']:,} result directories made anew"),
        ("compare", f"two runs of {found['compare']['cells'] // 2:,} cells compared"),
    ):
        note = f"{found[name]['cpu']:.1f} s of CPU"
        context.add(Measure(bench="store", what=what, got=found[name]["seconds"], unit="s", note=note))
