"""Break one part of QEMU's source, or mend it again: `mutate.py list`, `mutate.py apply|revert NAME SOURCE`."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

MUTANTS = Path(__file__).with_name("qemu-970hv.yaml")


def main(command: str, *words: str) -> None:
    """Do what the command line says. Raises KeyError for an unknown name, ValueError if the source is another."""
    mutants = yaml.safe_load(MUTANTS.read_text())
    if command == "list":
        print(*mutants)
        return
    name, source = words
    mutant = mutants[name]
    old, new = (mutant["is"], mutant["becomes"]) if command == "apply" else (mutant["becomes"], mutant["is"])
    path = Path(source, mutant["file"])
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{name}: {text.count(old)} places in {path} are\n{old}")
    path.write_text(text.replace(old, new))


if __name__ == "__main__":
    main(*sys.argv[1:])
