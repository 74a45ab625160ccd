"""Ways to an instance past its Service, by the name in the TLS handshake; whether the platform has built them. Pure.

TLS is the instance's own from end to end: only it can tell which client calls. So an Ingress bears the annotation with
which its controller passes TLS through, and a TLSRoute counts only on a listener whose mode is Passthrough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hansa_agent.config_route import GatewaySection, RouteSection
from hansa_agent.kubernetes.names import Json

Body = Mapping[str, Any]
GATEWAY_GROUP = "gateway.networking.k8s.io"


def collection(route: RouteSection, namespace: str) -> str:
    """Where the routes of ``namespace`` are; the version of what is not the cluster's own is left open."""
    if route.kind == "Ingress":
        return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"
    return f"/apis/{GATEWAY_GROUP}/*/namespaces/{namespace}/tlsroutes"


def gateways(gateway: GatewaySection) -> str:
    """Where the gateway is."""
    return f"/apis/{GATEWAY_GROUP}/*/namespaces/{gateway.namespace}/gateways"


def head(route: RouteSection) -> tuple[str, str]:
    """The version and the kind of a route's body."""
    return ("networking.k8s.io/v1" if route.kind == "Ingress" else f"{GATEWAY_GROUP}/*"), route.kind


def spec(route: RouteSection, name: str, port: int) -> Json:
    """What leads from the host of the instance to its Service, both called ``name``."""
    host = route.host_of(name)
    if route.gateway is None:
        service = {"service": {"name": name, "port": {"number": port}}}
        rule = {"host": host, "http": {"paths": [{"pathType": "ImplementationSpecific", "backend": service}]}}
        chosen = {"ingressClassName": route.ingress_class} if route.ingress_class else {}
        return {**chosen, "tls": [{"hosts": [host]}], "rules": [rule]}
    parent = {
        "group": GATEWAY_GROUP,
        "kind": "Gateway",
        "name": route.gateway.name,
        "namespace": route.gateway.namespace,
        "sectionName": route.gateway.listener,
    }
    backends = [{"name": name, "port": port}]
    return {"parentRefs": [parent], "hostnames": [host], "rules": [{"backendRefs": backends}]}


def missing(route: RouteSection, body: Body | None, gateway: Body | None) -> str:
    """What the platform has yet to do before clients get through; empty once it says that it is done."""
    if body is None:
        return f"the {route.kind} is not there"
    if route.gateway is None:
        given = ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        return "" if given else "the Ingress has no address yet: no controller of its class has taken it on"
    return _of_gateway(route.gateway, gateway) or _of_parent(route.gateway, body)


def _of_gateway(wanted: GatewaySection, gateway: Body | None) -> str:
    named = f"Gateway {wanted.namespace}/{wanted.name}"
    if gateway is None:
        return f"{named} is not there, or may not be read"
    listeners = {each.get("name"): each for each in (gateway.get("spec") or {}).get("listeners") or []}
    listener = listeners.get(wanted.listener)
    if listener is None:
        return f"{named} has no listener {wanted.listener}"
    mode = (listener.get("tls") or {}).get("mode", "Terminate")
    if listener.get("protocol") != "TLS" or mode != "Passthrough":
        told = f"protocol {listener.get('protocol')}, mode {mode}"
        return f"listener {wanted.listener} of {named} would end TLS ({told}); it must be TLS with mode Passthrough"
    why = _unmet(gateway, (gateway.get("status") or {}).get("conditions") or [], ("Programmed",))
    return f"{named}: {why}" if why else ""


def _of_parent(wanted: GatewaySection, body: Body) -> str:
    for parent in (body.get("status") or {}).get("parents") or []:
        named = parent.get("parentRef") or {}
        if (named.get("name"), named.get("sectionName")) == (wanted.name, wanted.listener):
            return _unmet(body, parent.get("conditions") or [], ("Accepted", "ResolvedRefs"))
    return f"Gateway {wanted.namespace}/{wanted.name} has not answered to the TLSRoute yet"


def _unmet(body: Body, conditions: Iterable[Body], wanted: tuple[str, ...]) -> str:
    """The first of the conditions that does not hold; one that was told of an older generation says nothing."""
    generation = int(body["metadata"].get("generation") or 0)
    by_type = {each.get("type"): each for each in conditions if int(each.get("observedGeneration") or 0) >= generation}
    for name in wanted:
        found = by_type.get(name)
        if found is None:
            return f"not {name} yet"
        if found.get("status") != "True":
            return f"not {name}: {found.get('reason', '')}: {found.get('message', '')}"
    return ""
