"""The configuration of a zone that is a Kubernetes cluster. ``agent.kubernetes.example.yaml`` explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hansa_agent.config_route import RouteSection
from hansa_agent.config_sections import Port, Section
from hansa_agent.serving import KServe, Plain, Vllm

_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


def _network(text: str) -> str:
    from ipaddress import ip_network  # only where a zone is a cluster

    ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_network)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class ServiceSection(Section):
    """How an instance is reached. ``endpoint`` may name {name}, {namespace}, {instance}, {address}, {port}."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "LoadBalancer"
    port: Port = 8443
    host: str = ""
    endpoint: str = Field(default="", pattern=r"^(https://\S+)?$")
    annotations: dict[str, str] = Field(default_factory=dict)


class KubernetesSection(Section):
    """Which cluster, which part of it, and how instances run there. Without a kubeconfig: from inside the cluster."""

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = Field(default="hansa", pattern=_NAME)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerate: list[str] = Field(default_factory=list)
    image_pull_secrets: list[ObjectName] = Field(default_factory=list)
    tls_secret: ObjectName | Literal[""] = ""
    service: ServiceSection = Field(default_factory=ServiceSection)
    route: RouteSection | None = None
    kserve: bool = False
    evictions: Literal["refused", "allowed"] = "refused"
    listen_host: Literal["0.0.0.0", "::"] = "0.0.0.0"  # noqa: S104 - within the pod
    allow_from: list[Network] = Field(default_factory=lambda: ["0.0.0.0/0", "::/0"])
    allow_from_namespaces: list[ObjectName] = Field(default_factory=list)
    allow_to: list[Network] = Field(default_factory=list)
    runtime_class: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")
    run_as_user: int | None = Field(default=None, ge=1)
    request_timeout_s: float = Field(default=15.0, gt=0, le=300)
    watch_s: float = Field(default=50.0, gt=0, le=3_600)
    patience_s: float = Field(default=30.0, ge=0, le=600)
    unsound_after_s: float = Field(default=60.0, ge=0)
    orphan_grace_s: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        service = self.service
        if self.route is not None and (service.type != "ClusterIP" or service.host or service.endpoint):
            raise ValueError("with a route, service.type is ClusterIP, without host and endpoint: one way in, not two")
        return self

    def problem_of(self, serve: Plain | Vllm | KServe) -> str:
        """What keeps an artefact from being served in a shape here; empty if nothing does."""
        if isinstance(serve, Plain):
            return ""
        if isinstance(serve, KServe) and not self.kserve:
            return "the shape 'kserve' needs kubernetes.kserve: true"
        if not self.tls_secret:
            return f"the shape {serve.shape!r} needs kubernetes.tls_secret, for its front to serve with"
        return "port is service.port; its front listens there" if serve.port == self.service.port else ""
