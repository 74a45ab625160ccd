"""What the fake API server serves, and the check of every body with the official models of the package kubernetes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes import client as official
from kubernetes_api.kube_custom import problems
from pydantic import ValidationError

Json = dict[str, Any]


class ApiError(Exception):
    """An answer that is a ``Status`` of kind failure."""

    def __init__(self, status: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Json:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.status,
        }


@dataclass(frozen=True)
class Kind:
    """One resource: where it is served, what it is called, and the official model of its body."""

    group: str
    version: str
    plural: str
    kind: str
    model: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def check(self, body: Any) -> Json:
        """The body, if the official model takes it with no key unknown; else 400 or 422 as the real server answers."""
        if not isinstance(body, dict) or body.get("apiVersion") != self.api_version or body.get("kind") != self.kind:
            raise ApiError(400, "BadRequest", f"the body is no {self.api_version} {self.kind}")
        if not self.model:
            return self._check_custom(body)
        try:
            getattr(official, self.model).model_validate(body)
        except ValidationError as error:
            causes = [
                {"reason": "FieldValueInvalid", "message": each["msg"], "field": ".".join(map(str, each["loc"]))}
                for each in error.errors()
            ]
            unknown = any(each["type"] == "extra_forbidden" for each in error.errors())
            text = "; ".join(f"{cause['field']}: {cause['message']}" for cause in causes[:5])
            status, reason = (400, "BadRequest") if unknown else (422, "Invalid")
            message = f"strict decoding error: {text}" if unknown else f"{self.kind} is invalid: {text}"
            raise ApiError(status, reason, message, causes=causes) from error
        return body

    def _check_custom(self, body: Json) -> Json:
        if told := problems(self.kind, body):
            raise ApiError(400, "BadRequest", f"strict decoding error: {'; '.join(told[:5])}")
        return body


KINDS = (
    Kind("", "v1", "nodes", "Node", "V1Node", namespaced=False),
    Kind("", "v1", "namespaces", "Namespace", "V1Namespace", namespaced=False),
    Kind("", "v1", "pods", "Pod", "V1Pod"),
    Kind("", "v1", "events", "Event", "CoreV1Event"),
    Kind("", "v1", "services", "Service", "V1Service"),
    Kind("", "v1", "configmaps", "ConfigMap", "V1ConfigMap"),
    Kind("", "v1", "secrets", "Secret", "V1Secret"),
    Kind("apps", "v1", "deployments", "Deployment", "V1Deployment"),
    Kind("apps", "v1", "replicasets", "ReplicaSet", "V1ReplicaSet"),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "V1NetworkPolicy"),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", "V1Ingress"),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "V1PodDisruptionBudget"),
    Kind("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", "V1ResourceSlice", namespaced=False),
    Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway", ""),
    Kind("gateway.networking.k8s.io", "v1", "tlsroutes", "TLSRoute", ""),
    Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService", ""),
)
LATE = ("resourceslices", "gateways", "tlsroutes", "inferenceservices")
"""What a cluster need not have: not served unless a test says so."""
BY_PLURAL = {kind.plural: kind for kind in KINDS}
