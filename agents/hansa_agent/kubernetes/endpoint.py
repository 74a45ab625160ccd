"""Where an instance on a cluster is reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansa_agent.config_kubernetes import ServiceSection
from hansa_agent.config_route import RouteSection


def route_url(route: RouteSection, name: str) -> str:
    """The base URL of the instance whose objects are called ``name``, where it is reached by a route."""
    return f"https://{route.host_of(name)}:{route.port}"


def endpoint_of(
    section: ServiceSection, service: Mapping[str, Any], pods: list[Mapping[str, Any]], instance: str
) -> str:
    """The base URL at which an instance is reached; empty while the platform has not given it an address."""
    meta, port = service["metadata"], _port(section, service)
    address = section.host or _address(section.type, service, pods)
    names = {"name": meta["name"], "namespace": meta["namespace"], "instance": instance}
    if section.endpoint:
        template = section.endpoint
        if ("{address}" in template and not address) or ("{port}" in template and not port):
            return ""
        for key, value in {**names, "address": _bracketed(address), "port": str(port)}.items():
            template = template.replace(f"{{{key}}}", value)
        return template
    return f"https://{_bracketed(address)}:{port}" if address and port else ""


def _port(section: ServiceSection, service: Mapping[str, Any]) -> int:
    ports = (service.get("spec") or {}).get("ports") or [{}]
    return int(ports[0].get("nodePort") or 0) if section.type == "NodePort" else section.port


def _address(kind: str, service: Mapping[str, Any], pods: list[Mapping[str, Any]]) -> str:
    meta = service["metadata"]
    if kind == "ClusterIP":
        return f"{meta['name']}.{meta['namespace']}.svc"
    if kind == "NodePort":
        return str((pods[0].get("status") or {}).get("hostIP") or "") if pods else ""
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return str(given[0].get("hostname") or given[0].get("ip") or "")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
