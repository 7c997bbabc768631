"""The same results for programs: a JSON feed, and changes of status as an Atom feed."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from results.matrix import build_matrix, to_json
from results.page.model import Entry, Past, Site, Turn, folder_of
from results.page.write import Writer

CHANGES_MOST = 100


def write_feeds(site: Site, writer: Writer, pages: Collection[str]) -> None:
    """Write `feed.json` and `changes.atom`. Raises OSError."""
    writer.text("feed.json", _cell_by_line(feed(site)))
    changed = changes(site)
    updated = changed[0].turn.after.started if changed and changed[0].turn else site.made
    writer.text(
        "changes.atom",
        writer.render("changes.atom", changes=changed[:CHANGES_MOST], updated=updated, pages=pages),
    )


def feed(site: Site) -> dict[str, Any]:
    """Return what `matrix --format json` gives, without this machine's paths, and with the page's own addresses."""
    # Where the page has it, not where this machine has it.
    places = {entry.stored.directory: Path(folder_of(entry.stored)) for entry in site.entries}
    matrix = build_matrix([replace(entry.stored, directory=places[entry.stored.directory]) for entry in site.entries])
    data = to_json(matrix, site.notes)
    by_place = {folder_of(entry.stored): entry for entry in site.entries}
    for cell in data["cells"]:
        entry = by_place[cell["directory"]]
        cell |= {
            "page": entry.page,
            "newest": f"cells/{entry.cell_id}/index.html",
            "badge": f"badges/{entry.result.cell.feature}.svg",
            "simulated": True,
            "changed": _turn(entry.turn),
            "first_bad": _turn(entry.first_bad),
        }
    return {**data, "made": site.made.isoformat(), "reference": site.reference}


def _cell_by_line(data: dict[str, Any]) -> str:
    """Return JSON with a line for each cell: indenting it all takes three times as long."""
    cells = ",\n".join(map(json.dumps, data["cells"]))
    rest = json.dumps({name: value for name, value in data.items() if name != "cells"})
    return f'{rest[:-1]}, "cells": [\n{cells}\n]}}\n'


def changes(site: Site) -> list[Entry]:
    """Return the cells whose status has changed, the newest change first."""
    turned = [(entry.turn.after.started, entry) for entry in site.entries if entry.turn]
    return [entry for _, entry in sorted(turned, key=lambda one: one[0], reverse=True)]


def _turn(turn: Turn | None) -> dict[str, object] | None:
    if turn is None:
        return None
    return {"before": _past(turn.before), "after": _past(turn.after), "inputs": list(turn.changed)}


def _past(past: Past | None) -> dict[str, str] | None:
    return None if past is None else {"status": past.status.value, "run": past.run, "page": past.page}
