"""The configuration of a zone that is a Kubernetes cluster. ``agent.kubernetes.example.yaml`` explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hansa_agent.config_sections import Port, Section

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
    listen_host: Literal["0.0.0.0", "::"] = "0.0.0.0"  # noqa: S104 - within the pod
    allow_from: list[Network] = Field(default_factory=lambda: ["0.0.0.0/0", "::/0"])
    allow_to: list[Network] = Field(default_factory=list)
    runtime_class: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")
    run_as_user: int | None = Field(default=None, ge=1)
    request_timeout_s: float = Field(default=15.0, gt=0, le=300)
    watch_s: float = Field(default=50.0, gt=0, le=3_600)
    patience_s: float = Field(default=30.0, ge=0, le=600)
    unsound_after_s: float = Field(default=60.0, ge=0)
    orphan_grace_s: float = Field(default=60.0, ge=0)
