"""A line that a person types at the QMP prompt: a QMP command, or one for QEMU's monitor."""

from __future__ import annotations

import json
from typing import Any

from base.errors import UsageError
from sim.qmp import Qmp

HELP = """\
query-status                            a QMP command
screendump filename=/tmp/a.png          ... with arguments; what reads as JSON is taken as JSON
{"execute": "query-status"}             ... as it goes over the wire
hmp info registers                      a command of QEMU's monitor for people
an empty line, or Ctrl-D, goes back to the console"""


async def execute(qmp: Qmp, line: str) -> str:
    """Do what a line says and return the answer as text. Raises UsageError for what is no line, QmpFailed."""
    word, _, rest = line.partition(" ")
    if word == "help":
        return HELP
    if word == "hmp":
        text = str(await qmp.execute("human-monitor-command", command_line=rest))
        return text.replace("\r", "").rstrip()
    name, arguments = read(line)
    return json.dumps(await qmp.execute(name, **arguments), indent=1)


def read(line: str) -> tuple[str, dict[str, Any]]:
    """Return command and arguments of a line. Raises UsageError."""
    if line.startswith("{"):
        try:
            data = json.loads(line)
            name, arguments = data["execute"], data.get("arguments", {})
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"no QMP command: {error}", hint='{"execute": "query-status"}') from error
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise UsageError("no QMP command: `execute` is a word, `arguments` an object")
        return name, arguments
    name, *words = line.split()
    arguments = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"'{word}' is not NAME=VALUE", hint="`help` shows what can be typed")
        arguments[key] = _value(value)
    return name, arguments


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
