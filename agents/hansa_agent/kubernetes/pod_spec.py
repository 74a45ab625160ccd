"""The pod of an instance: where it runs, as whom, and what it consists of. Pure."""

from __future__ import annotations

from typing import Any

from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes import shapes
from hansa_agent.kubernetes.containers import instance_container, volumes
from hansa_agent.kubernetes.names import Json
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.serving import KServe, Vllm


def pod_spec(wanted: Wanted, section: KubernetesSection) -> Json:
    """Where it runs, as whom, and what it consists of in the shape that the zone's owner says."""
    serve = wanted.artefact.serve
    consists_of, room = [instance_container(wanted, section)], volumes(wanted, section)
    if isinstance(serve, Vllm | KServe):
        consists_of = [shapes.server(wanted, serve), shapes.front(wanted, section, serve)]
        room += shapes.volumes(serve)
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": wanted.grace_s,
        "securityContext": _pod_security(section),
        "containers": consists_of,
        "volumes": room,
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


def _affinity(wanted: Wanted) -> Json:
    expressions: list[dict[str, Any]] = [
        {"key": key, "operator": "In", "values": list(values)} for key, values in wanted.nodes
    ]
    if not expressions:
        return {}
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
