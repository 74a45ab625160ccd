"""When a route counts as built, by what the platform says of it and of its gateway."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_agent.config_route import RouteSection
from hansa_agent.kubernetes.routes import missing

ROUTE = RouteSection.model_validate(
    {
        "kind": "TLSRoute",
        "host": "{name}.edge.nordavind.example",
        "gateway": {"name": "edge", "namespace": "ingress", "listener": "passing"},
    }
)


def condition(kind: str, status: str = "True", generation: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": status, "observedGeneration": generation, "reason": "Why", "message": "because"}


def gateway(*conditions: dict[str, Any], listener: str = "passing") -> dict[str, Any]:
    listeners = [{"name": listener, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]
    return {"metadata": {"generation": 2}, "spec": {"listeners": listeners}, "status": {"conditions": [*conditions]}}


def route(*conditions: dict[str, Any], listener: str = "passing", name: str = "edge") -> dict[str, Any]:
    parent = {"parentRef": {"name": name, "sectionName": listener}, "conditions": [*conditions]}
    return {"metadata": {"generation": 2}, "status": {"parents": [parent]}}


PROGRAMMED, TAKEN = condition("Programmed"), (condition("Accepted"), condition("ResolvedRefs"))


@pytest.mark.parametrize(
    ("body", "of_gateway", "words"),
    [
        (route(*TAKEN), gateway(PROGRAMMED), ""),
        (None, gateway(PROGRAMMED), "the TLSRoute is not there"),
        (route(*TAKEN), None, "Gateway ingress/edge is not there, or may not be read"),
        (route(*TAKEN), gateway(PROGRAMMED, listener="other"), "Gateway ingress/edge has no listener passing"),
        (route(*TAKEN), gateway(), "Gateway ingress/edge: not Programmed yet"),
        (route(*TAKEN), gateway(condition("Programmed", generation=1)), "Gateway ingress/edge: not Programmed yet"),
        (route(*TAKEN), gateway(condition("Programmed", "False")), "not Programmed: Why: because"),
        (route(TAKEN[0]), gateway(PROGRAMMED), "not ResolvedRefs yet"),
        (route(TAKEN[0], condition("ResolvedRefs", "False")), gateway(PROGRAMMED), "not ResolvedRefs: Why: because"),
        (route(condition("Accepted", generation=1), TAKEN[1]), gateway(PROGRAMMED), "not Accepted yet"),
        (route(*TAKEN, listener="other"), gateway(PROGRAMMED), "has not answered to the TLSRoute yet"),
        (route(*TAKEN, name="other"), gateway(PROGRAMMED), "has not answered to the TLSRoute yet"),
        ({"metadata": {"generation": 2}}, gateway(PROGRAMMED), "has not answered to the TLSRoute yet"),
    ],
)
def test_route_is_built_once_gateway_and_parent_say_so_of_the_present(body: Any, of_gateway: Any, words: str) -> None:
    told = missing(ROUTE, body, of_gateway)
    assert words in told and bool(told) == bool(words)
