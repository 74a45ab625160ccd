"""What an instance is made of on a cluster, as bodies for the API server. Pure.

The ConfigMap is the instance's anchor: it bears the authority whose clients may call, it is made first, everything
else is owned by it, and it is deleted in the foreground, so that it is gone once all the rest is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.config_route import RouteSection
from hansa_agent.kubernetes import routes
from hansa_agent.kubernetes.names import ANCHOR, GRANTED, ORDER_DIGEST, Json, labels, marks, object_name, order_digest
from hansa_agent.launch import Place, environment

PORT_NAME = "https"
CA_KEY = "ca.pem"
_ROOT, _CLIENT, _TLS = Path("/hansa"), "/hansa/client", "/hansa/tls"
_SPACE = "kubernetes.io/metadata.name"
_PROBE_PERIOD_S = 2
_PROBE_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance to be made: its order, its artefact, and the nodes that have its accelerators.

    ``devices`` are amounts by extended resource; ``nodes`` are the values that a node's label must have, by label.
    """

    zone: str
    order: DesiredInstance
    artefact: Artefact
    devices: tuple[tuple[str, int], ...] = ()
    nodes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    grace_s: int = 10

    @property
    def name(self) -> str:
        return object_name(self.zone, self.order.instance)


def anchor(wanted: Wanted, section: KubernetesSection) -> Json:
    """The ConfigMap."""
    ca_pem = wanted.order.client_ca_pem.decode("utf-8", "replace")
    return _object("v1", "ConfigMap", wanted, section) | {"data": {CA_KEY: ca_pem}}


def parts(wanted: Wanted, section: KubernetesSection, anchor_uid: str) -> tuple[tuple[str, Json], ...]:
    """The rest in the order in which it is made, by collection: who may connect before there is anything to."""
    made = list(_made(wanted, section, anchor_uid))
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": wanted.name,
        "uid": anchor_uid,
        "blockOwnerDeletion": True,
    }
    for _, body in made:
        body["metadata"]["ownerReferences"] = [owner]
    return tuple(made)


def _made(wanted: Wanted, section: KubernetesSection, anchor_uid: str) -> Iterator[tuple[str, Json]]:
    namespace = section.namespace
    yield f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", network_policy(wanted, section)
    yield f"/api/v1/namespaces/{namespace}/services", service(wanted, section)
    if section.evictions == "refused":
        budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        yield budgets, disruption_budget(wanted, section)
    yield f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(wanted, section, anchor_uid)
    if section.route is not None:
        yield routes.collection(section.route, namespace), route(wanted, section, section.route)


def network_policy(wanted: Wanted, section: KubernetesSection) -> Json:
    """Connections to the port from where the zone's owner says, and out to nowhere else than the owner says."""
    spaces = [{"namespaceSelector": {"matchLabels": {_SPACE: name}}} for name in section.allow_from_namespaces]
    incoming = {
        "from": [*({"ipBlock": {"cidr": network}} for network in section.allow_from), *spaces],
        "ports": [{"protocol": "TCP", "port": section.service.port}],
    }
    outgoing = [{"to": [{"ipBlock": {"cidr": network}} for network in section.allow_to]}] if section.allow_to else []
    spec = {
        "podSelector": {"matchLabels": labels(wanted.zone, wanted.order.instance)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [incoming] if incoming["from"] else [],
        "egress": outgoing,
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", wanted, section) | {"spec": spec}


def service(wanted: Wanted, section: KubernetesSection) -> Json:
    """One port, of the type that the zone's owner says."""
    port = section.service.port
    spec = {
        "type": section.service.type,
        "selector": labels(wanted.zone, wanted.order.instance),
        "ports": [{"name": PORT_NAME, "port": port, "targetPort": port, "protocol": "TCP"}],
    }
    body = _object("v1", "Service", wanted, section) | {"spec": spec}
    body["metadata"]["annotations"] |= section.service.annotations
    return body


def disruption_budget(wanted: Wanted, section: KubernetesSection) -> Json:
    """Refuses that a pod that serves is evicted: whoever empties its node has the operator move it first."""
    spec = {
        "minAvailable": 1,
        "selector": {"matchLabels": labels(wanted.zone, wanted.order.instance)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return _object("policy/v1", "PodDisruptionBudget", wanted, section) | {"spec": spec}


def route(wanted: Wanted, section: KubernetesSection, way: RouteSection) -> Json:
    """Made last, so that it leads to nothing that is not there."""
    body = _object(*routes.head(way), wanted, section) | {"spec": routes.spec(way, wanted.name, section.service.port)}
    body["metadata"]["annotations"] |= way.annotations
    return body


def deployment(wanted: Wanted, section: KubernetesSection, anchor_uid: str) -> Json:
    """One pod, never two at once."""
    own = labels(wanted.zone, wanted.order.instance)
    meta = {"labels": own, "annotations": pod_marks(wanted, anchor_uid)}
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 0,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": own},
        "template": {"metadata": meta, "spec": _pod(wanted, section)},
    }
    return _object("apps/v1", "Deployment", wanted, section) | {"spec": spec}


def pod_marks(wanted: Wanted, anchor_uid: str) -> dict[str, str]:
    """The annotations of a pod: which order it was made from, under which anchor, and what that grants."""
    granted = json.dumps(_resources(wanted), sort_keys=True)
    return {ORDER_DIGEST: order_digest(wanted.order), ANCHOR: anchor_uid, GRANTED: granted}


def _object(api_version: str, kind: str, wanted: Wanted, section: KubernetesSection) -> Json:
    meta: Json = {
        "name": wanted.name,
        "namespace": section.namespace,
        "labels": labels(wanted.zone, wanted.order.instance),
        "annotations": marks(wanted.zone, wanted.order),
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _pod(wanted: Wanted, section: KubernetesSection) -> Json:
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": wanted.grace_s,
        "securityContext": _pod_security(section),
        "containers": [_container(wanted, section)],
        "volumes": _volumes(wanted, section),
        "tolerations": [{"key": key, "operator": "Exists"} for key in section.tolerate],
    }
    optional: Json = {
        "nodeSelector": dict(sorted(section.node_selector.items())),
        "imagePullSecrets": [{"name": name} for name in section.image_pull_secrets],
        "runtimeClassName": section.runtime_class,
        "affinity": _affinity(wanted),
    }
    return spec | {key: value for key, value in optional.items() if value}


def _pod_security(section: KubernetesSection) -> Json:
    user = {} if section.run_as_user is None else {"runAsUser": section.run_as_user, "fsGroup": section.run_as_user}
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **user}


def _container(wanted: Wanted, section: KubernetesSection) -> Json:
    command = list(wanted.artefact.command)
    amounts = _resources(wanted)
    probe = {"tcpSocket": {"port": PORT_NAME}, "periodSeconds": _PROBE_PERIOD_S, "failureThreshold": _PROBE_FAILURES}
    return {
        "name": "instance",
        "image": wanted.artefact.image,
        "ports": [{"name": PORT_NAME, "containerPort": section.service.port, "protocol": "TCP"}],
        "env": [{"name": name, "value": value} for name, value in _environment(wanted, section).items()],
        "resources": {"requests": amounts, "limits": amounts},
        "readinessProbe": probe,
        "volumeMounts": _mounts(section),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **({"command": command} if command else {}),
    }


def _environment(wanted: Wanted, section: KubernetesSection) -> dict[str, str]:
    """The contract of ``launch.ENVIRONMENT``; the image keeps its own PATH."""
    tls = (f"{_TLS}/tls.crt", f"{_TLS}/tls.key") if section.tls_secret else ("", "")
    place = Place(_ROOT, section.listen_host, section.service.port, *tls)
    contract = environment(wanted.order, wanted.artefact, place) | {"HANSA_CLIENT_CA": f"{_CLIENT}/{CA_KEY}"}
    del contract["PATH"]
    return dict(sorted(contract.items()))


def _resources(wanted: Wanted) -> dict[str, str]:
    limits = wanted.order.limits
    amounts = {"cpu": f"{limits.cpu_millis}m" if limits.cpu_millis else ""}
    amounts["memory"] = f"{limits.memory_mib}Mi" if limits.memory_mib else ""
    amounts |= {resource: str(count) for resource, count in wanted.devices}
    return {resource: amount for resource, amount in amounts.items() if amount}


def _volumes(wanted: Wanted, section: KubernetesSection) -> list[Json]:
    volumes: list[Json] = [
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "client", "configMap": {"name": wanted.name}},
    ]
    return volumes + ([{"name": "tls", "secret": {"secretName": section.tls_secret}}] if section.tls_secret else [])


def _mounts(section: KubernetesSection) -> list[Json]:
    mounts: list[Json] = [
        {"name": "home", "mountPath": str(_ROOT / "home")},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, its own
        {"name": "client", "mountPath": _CLIENT, "readOnly": True},
    ]
    return mounts + ([{"name": "tls", "mountPath": _TLS, "readOnly": True}] if section.tls_secret else [])


def _affinity(wanted: Wanted) -> Json:
    expressions: list[dict[str, Any]] = [
        {"key": key, "operator": "In", "values": list(values)} for key, values in wanted.nodes
    ]
    if not expressions:
        return {}
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
