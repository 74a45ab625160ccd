"""All that the agent may have to ask of a cluster, in one table. Pure.

The roles in ``agents/kubernetes``, the chart in ``agents/helm`` and ``hansa-agent check`` say the same; the tests
compare them with this table, and the table with what the agent calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hansa_agent.config_kubernetes import KubernetesSection

INVENTORY, RUNTIME, INGRESS, GATEWAY, KSERVE = "inventory", "runtime", "ingress", "gateway", "kserve"
CLUSTER, NAMESPACE = "", "namespace"


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource, in the whole cluster or in the namespace of the instances; ``why`` ends "without it, ".

    What is not ``needed`` only makes the agent's words richer.
    """

    part: str
    scope: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    needed: bool = True


_FOLLOWED = ("list", "watch")
_MADE = ("get", "create", "patch")
_MADE_AND_FOLLOWED = ("get", "list", "watch", "create", "patch")
GATEWAY_API = "gateway.networking.k8s.io"

RIGHTS = (
    Right(INVENTORY, CLUSTER, "", "nodes", _FOLLOWED, "nothing is known of the zone"),
    Right(INVENTORY, CLUSTER, "", "pods", _FOLLOWED, "what others hold is unknown, and nothing counts"),
    Right(
        INVENTORY,
        CLUSTER,
        "resource.k8s.io",
        "resourceslices",
        _FOLLOWED,
        "devices of dynamic resource allocation are left out without a word",
        needed=False,
    ),
    Right(RUNTIME, NAMESPACE, "", "configmaps", (*_MADE_AND_FOLLOWED, "delete"), "no instance can be made or ended"),
    Right(
        RUNTIME,
        NAMESPACE,
        "",
        "configmaps/finalizers",
        ("update",),
        "no instance can be made where the plugin OwnerReferencesPermissionEnforcement is on",
        needed=False,
    ),
    Right(RUNTIME, NAMESPACE, "", "services", _MADE_AND_FOLLOWED, "no instance can be reached"),
    Right(RUNTIME, NAMESPACE, "apps", "deployments", _MADE_AND_FOLLOWED, "no instance can run"),
    Right(RUNTIME, NAMESPACE, "networking.k8s.io", "networkpolicies", _MADE, "no instance is made"),
    Right(RUNTIME, NAMESPACE, "policy", "poddisruptionbudgets", _MADE, "no instance is made (evictions: refused)"),
    Right(RUNTIME, NAMESPACE, "", "pods", (*_FOLLOWED, "delete"), "readiness is unknown"),
    Right(RUNTIME, NAMESPACE, "", "events", ("list",), "a volume that cannot be mounted is not told", needed=False),
    Right(INGRESS, NAMESPACE, "networking.k8s.io", "ingresses", _MADE_AND_FOLLOWED, "no instance has its route"),
    Right(GATEWAY, NAMESPACE, GATEWAY_API, "tlsroutes", _MADE_AND_FOLLOWED, "no instance has its route"),
    Right(GATEWAY, CLUSTER, GATEWAY_API, "gateways", _FOLLOWED, "no route is known to be built"),
    Right(
        KSERVE,
        NAMESPACE,
        "serving.kserve.io",
        "inferenceservices",
        _MADE_AND_FOLLOWED,
        "no instance of the shape kserve can run",
    ),
)


def rights_for(section: KubernetesSection, *, inventory: bool, runtime: bool) -> Iterator[Right]:
    """What a configuration needs of the table."""
    parts = {INVENTORY} if inventory else set()
    if runtime:
        parts.add(RUNTIME)
        if section.route is not None:
            parts.add(INGRESS if section.route.kind == "Ingress" else GATEWAY)
        if section.kserve:
            parts.add(KSERVE)
    for right in RIGHTS:
        if right.part in parts and not (right.resource == "poddisruptionbudgets" and section.evictions == "allowed"):
            yield right
