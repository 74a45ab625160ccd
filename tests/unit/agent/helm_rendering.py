"""Renders the agent's chart as far as it uses templates, and checks values against its schema.

A template may substitute a value, pipe it through ``toJson``, ``quote`` and ``sha256sum``, and leave lines out by
``if`` and ``else``; whatever else stands between braces is an error here, so that the chart stays what these tests can
judge.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import hansa_agent
import yaml

CHART = Path(hansa_agent.__file__).parents[1] / "helm" / "hansa-agent"
_ACTION = re.compile(r"(\s*\{\{-|\{\{)\s*(.*?)\s*(-\}\}\s*|\}\})", re.DOTALL)
_PATH = re.compile(r"\.(Values|Release)((?:\.[A-Za-z]+)+)")
_CHECKS = {
    *("type", "properties", "required", "additionalProperties", "pattern", "const", "items", "minimum", "not", "oneOf")
}
_NOTES = {"$schema"}
_TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def values(**changes: Any) -> dict[str, Any]:
    """The chart's values with those of its example, and ``changes`` in their place."""
    found = yaml.safe_load((CHART / "values.yaml").read_text())
    return {**found, **yaml.safe_load((CHART / "ci" / "example-values.yaml").read_text()), **changes}


def rendered(chosen: dict[str, Any], namespace: str = "hansa") -> list[dict[str, Any]]:
    """Every manifest of the chart."""
    scope = {"Values": chosen, "Release": {"Namespace": namespace, "Name": "zone"}}
    texts = [render(path.read_text(), scope) for path in sorted((CHART / "templates").glob("*.yaml"))]
    return [body for text in texts for body in yaml.safe_load_all(text) if body]


def render(text: str, scope: dict[str, Any]) -> str:
    """One template."""
    out, kept, last = [], [True], 0
    for action in _ACTION.finditer(text):
        if kept[-1]:
            out.append(text[last : action.start()])
        last, said = action.end(), action[2]
        if said.startswith("if "):
            kept.append(kept[-1] and bool(_looked_up(said[3:], scope)))
        elif said == "else":
            kept[-1] = not kept[-1] and all(kept[:-1])
        elif said == "end":
            kept.pop()
        elif kept[-1]:
            out.append(_piped(said, scope))
    assert kept == [True], "an 'if' without its 'end'"
    return "".join([*out, text[last:]])


def _piped(said: str, scope: dict[str, Any]) -> str:
    first, *filters = [part.strip() for part in said.split("|")]
    value = _looked_up(first, scope)
    for name in filters:
        if name == "toJson":
            value = json.dumps(value)
        elif name == "sha256sum":
            value = hashlib.sha256(value.encode()).hexdigest()
        elif name == "quote":
            value = json.dumps(value)
        else:
            raise ValueError(f"the filter {name!r} is not known to the tests")
    assert isinstance(value, (str, int)), f"{said}: only text and numbers stand by themselves"
    return str(value)


def _looked_up(path: str, scope: dict[str, Any]) -> Any:
    match = _PATH.fullmatch(path.strip())
    if match is None:
        raise ValueError(f"{path!r} is more than the path of a value")
    found: Any = scope[match[1]]
    for key in match[2].split(".")[1:]:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def problems(value: Any, schema: dict[str, Any], path: str = "values") -> list[str]:
    """What JSON Schema (draft 7), as far as the chart uses it, has against a value."""
    unknown = set(schema) - _CHECKS - _NOTES
    assert not unknown, f"{path}: the tests do not know {unknown}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        return [f"{path}: no {kind}"]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: not {schema['const']!r}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{path}: {value!r} does not match")
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{path}: below {schema['minimum']}")
    if "not" in schema and not problems(value, schema["not"], path):
        found.append(f"{path}: is what it must not be")
    if "oneOf" in schema and sum(not problems(value, one, path) for one in schema["oneOf"]) != 1:
        found.append(f"{path}: is none of those that it may be")
    if isinstance(value, list) and "items" in schema:
        found += [each for index, one in enumerate(value) for each in problems(one, schema["items"], f"{path}.{index}")]
    return [*found, *(_of_object(value, schema, path) if isinstance(value, dict) else [])]


def _of_object(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: {key} is required" for key in schema.get("required", []) if key not in value]
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, each in value.items():
        if key in known:
            found += problems(each, known[key], f"{path}.{key}")
        elif others is False:
            found.append(f"{path}: {key} is not known")
        elif isinstance(others, dict):
            found += problems(each, others, f"{path}.{key}")
    return found
