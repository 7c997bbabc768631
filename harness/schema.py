"""The JSON schema of scenario files, for editors: `python -m harness.schema > scenarios/schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from harness.scenario import ScenarioFile
from harness.verbs import Verb, verbs


def scenario_schema() -> dict[str, Any]:
    """Return the schema, made from the same models that read the files."""
    schema = ScenarioFile.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    known = verbs()
    definitions["step"] = {
        "description": "One verb, alone or as `verb: parameters`.",
        "anyOf": [_step(known[name], definitions) for name in sorted(known)],
    }
    for section in ("prepare", "steps"):
        schema["properties"][section]["items"] = {"$ref": "#/$defs/step"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Scenario"}


def _step(verb: Verb, definitions: dict[str, Any]) -> dict[str, Any]:
    params = verb.params.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions.update(params.pop("$defs", {}))
    params["description"] = verb.summary
    values: list[dict[str, Any]] = [params]
    if verb.shorthand:
        values.append({**params["properties"][verb.shorthand], "description": verb.summary})
    step = {
        "type": "object",
        "properties": {verb.name: {"anyOf": values}},
        "required": [verb.name],
        "additionalProperties": False,
    }
    if params.get("required"):
        return step
    return {"anyOf": [{"const": verb.name, "description": verb.summary}, step]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scenario_schema(), indent=1) + "\n")
