"""The roles that the manifests give the agent, as the fake reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hansa_agent
import yaml
from kubernetes_api.kube_cluster import NAMESPACE

FOLDER = Path(hansa_agent.__file__).parents[1] / "kubernetes"
Scopes = dict[str, list[dict[str, Any]]]


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def rules(*parts: str) -> Scopes:
    """Of the base and of components, by scope, as the fake reads them."""
    found: Scopes = {"": [], NAMESPACE: []}
    for name in ("rbac.yaml", *(f"{part}/rbac.yaml" for part in parts)):
        for each in manifests(name):
            if "rules" in each:
                found["" if each["kind"] == "ClusterRole" else NAMESPACE] += each["rules"]
    return found


def granted(scopes: Scopes) -> set[tuple[str, str, str, str]]:
    """Scope, group, resource, verb."""
    return {
        (scope, group, resource, verb)
        for scope, listed in scopes.items()
        for rule in listed
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


GATEWAY_ROUTE = {
    "kind": "TLSRoute",
    "host": "{name}.edge.nordavind.example",
    "gateway": {"name": "edge", "namespace": "ingress", "listener": "passing"},
}
INGRESS_ROUTE = {
    "kind": "Ingress",
    "host": "{name}.edge.nordavind.example",
    "annotations": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
}
