"""What an instance is made of on a cluster, as bodies for the API server. Pure.

The ConfigMap is the instance's anchor: it bears the authority whose clients may call, it is made first, everything
else is owned by it, and it is deleted in the foreground, so that it is gone once all the rest is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.config_route import RouteSection
from hansa_agent.kubernetes import routes, shapes
from hansa_agent.kubernetes.containers import CA_KEY, PORT_NAME
from hansa_agent.kubernetes.names import (
    ANCHOR,
    FENCING_TOKEN,
    GRANTED,
    ORDER_DIGEST,
    ORDERED,
    SHAPE,
    WORKLOAD,
    Json,
    labels,
    marks,
    order_digest,
)
from hansa_agent.kubernetes.pod_spec import pod_spec
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.serving import KServe
from hansa_agent.strays import ordered_text

_SPACE = "kubernetes.io/metadata.name"


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
    if isinstance(wanted.artefact.serve, KServe):
        body = inference_service(wanted, section, wanted.artefact.serve, anchor_uid)
        yield shapes.inference_services(namespace), body
    else:
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
        "template": {"metadata": meta, "spec": pod_spec(wanted, section)},
    }
    return _object("apps/v1", "Deployment", wanted, section) | {"spec": spec}


def inference_service(wanted: Wanted, section: KubernetesSection, serve: KServe, anchor_uid: str) -> Json:
    """One pod of KServe's making, with our labels, so that Service, policy and budget are of it."""
    own = {"labels": labels(wanted.zone, wanted.order.instance), "annotations": pod_marks(wanted, anchor_uid)}
    annotations, spec = shapes.predictor(serve, pod_spec(wanted, section), own)
    body = _object(f"{shapes.KSERVE_GROUP}/*", "InferenceService", wanted, section) | {"spec": spec}
    # KServe hands annotations on to the pod, which is to stay when only these change; the anchor bears them.
    passing = (FENCING_TOKEN, WORKLOAD)
    kept = {key: told for key, told in body["metadata"]["annotations"].items() if key not in passing}
    body["metadata"]["annotations"] = kept | annotations
    # KServe makes no way in from outside of its own then.
    body["metadata"]["labels"] |= {"networking.kserve.io/visibility": "cluster-local"}
    return body


def pod_marks(wanted: Wanted, anchor_uid: str) -> dict[str, str]:
    """The annotations of a pod: which order it was made from, under which anchor, and what that grants and asks."""
    granted = json.dumps(wanted.amounts, sort_keys=True)
    ordered = ordered_text(wanted.order.limits)
    return {ORDER_DIGEST: order_digest(wanted.order), ANCHOR: anchor_uid, GRANTED: granted, ORDERED: ordered}


def _object(api_version: str, kind: str, wanted: Wanted, section: KubernetesSection) -> Json:
    meta: Json = {
        "name": wanted.name,
        "namespace": section.namespace,
        "labels": labels(wanted.zone, wanted.order.instance),
        "annotations": marks(wanted.zone, wanted.order) | {SHAPE: wanted.artefact.shape},
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}
