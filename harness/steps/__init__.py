"""The verbs of scenarios. Importing this package registers them all."""

from harness.steps import (
    answering,
    debugger,
    devicetree,
    disks,
    domains,
    identity,
    memory,
    networks,
    power,
    state,
    work,
)

__all__ = [
    "answering",
    "debugger",
    "devicetree",
    "disks",
    "domains",
    "identity",
    "memory",
    "networks",
    "power",
    "state",
    "work",
]
