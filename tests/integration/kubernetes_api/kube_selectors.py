"""Label and field selectors as the API server reads them."""

from __future__ import annotations

import re

from kubernetes_api.kube_kinds import ApiError, Json

_SET = re.compile(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)")


def selects(labels: str, fields: str, body: Json) -> bool:
    """Whether both selectors, empty ones included, take the object."""
    return _labels_fit(labels, body["metadata"].get("labels") or {}) and _fields_fit(fields, body)


def _labels_fit(selector: str, labels: dict[str, str]) -> bool:
    for key, verb, values in _SET.findall(selector):
        inside = labels.get(key) in [value.strip() for value in values.split(",")]
        if inside != (verb == "in"):
            return False
    rest = _SET.sub("", selector)
    return all(_term_fits(term.strip(), labels) for term in rest.split(",") if term.strip())


def _term_fits(term: str, labels: dict[str, str]) -> bool:
    if "!=" in term:
        key, value = term.split("!=")
        return labels.get(key) != value
    if "=" in term:
        key, value = term.replace("==", "=").split("=")
        return labels.get(key) == value
    return (term.removeprefix("!") in labels) != term.startswith("!")


def _fields_fit(selector: str, body: Json) -> bool:
    for term in filter(None, selector.split(",")):
        different = "!=" in term
        path, value = term.split("!=" if different else "=")
        found: object = body
        for key in path.split("."):
            found = (found or {}).get(key, "") if isinstance(found, dict) else ""
        if path.split(".")[0] not in ("metadata", "spec", "status", "involvedObject", "type", "reason"):
            raise ApiError(400, "BadRequest", f"field label not supported: {path}")
        if (str(found or "") == value) == different:
            return False
    return True
