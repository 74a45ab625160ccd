"""Kinds that are not the cluster's own: which fields of a body their definitions know, with the types of the leaves.

Written from the published definitions; a field that is not here is refused as a strict API server refuses it.
"""

from __future__ import annotations

from typing import Any

ANY = object()
_META = (
    "name namespace labels annotations uid resourceVersion generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds finalizers ownerReferences managedFields"
)
META = dict.fromkeys(_META.split(), ANY)
_PARENT = {"group": str, "kind": str, "name": str, "namespace": str, "sectionName": str, "port": int}
_TLS_ROUTE = {
    "parentRefs": [_PARENT],
    "hostnames": [str],
    "rules": [{"name": str, "backendRefs": [{"group": str, "kind": str, "name": str, "port": int, "weight": int}]}],
}
_LISTENER = {"name": str, "port": int, "protocol": str, "hostname": str, "tls": ANY, "allowedRoutes": ANY}
_GATEWAY = {"gatewayClassName": str, "listeners": [_LISTENER], "addresses": ANY}
_POD = (
    "automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds securityContext containers volumes "
    "tolerations nodeSelector imagePullSecrets runtimeClassName affinity"
)
_PREDICTOR: dict[str, Any] = dict.fromkeys(_POD.split(), ANY) | {
    "labels": ANY,
    "annotations": ANY,
    "minReplicas": int,
    "maxReplicas": int,
    "deploymentStrategy": ANY,
}
_INFERENCE = {"predictor": _PREDICTOR}
SPECS: dict[str, Any] = {"TLSRoute": _TLS_ROUTE, "Gateway": _GATEWAY, "InferenceService": _INFERENCE}


def problems(kind: str, body: dict[str, Any]) -> list[str]:
    """What a definition has against a body, as paths with words."""
    top = {"apiVersion": str, "kind": str, "metadata": META, "spec": SPECS[kind], "status": ANY}
    return list(_differences(body, top, ""))


def _differences(value: Any, shape: Any, path: str) -> Any:
    if shape is ANY:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{path}: must be an object"
            return
        for key, each in value.items():
            if key in shape:
                yield from _differences(each, shape[key], f"{path}.{key}")
            else:
                yield f'unknown field "{path}.{key}"'
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path}: must be an array"
            return
        for index, each in enumerate(value):
            yield from _differences(each, shape[0], f"{path}[{index}]")
    elif not isinstance(value, shape) or isinstance(value, bool) != (shape is bool):
        yield f"{path}: must be of type {shape.__name__}"
