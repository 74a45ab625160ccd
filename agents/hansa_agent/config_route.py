"""The configuration of the way that clients take to instances on a cluster, where it is not the Service's own."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from hansa_agent.config_sections import Port, Section

_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_HOST = r"^\{name\}(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$"
_PASSING_TLS = {"route.openshift.io/termination": "passthrough"}
_PASSING_TLS_SUFFIX = "/ssl-passthrough"
_NO_HTTP_ROUTE = (
    "an HTTPRoute hangs on a listener that ends TLS, and an instance must see its client's certificate; use TLSRoute"
)
Label = Annotated[str, Field(pattern=_LABEL)]


class GatewaySection(Section):
    """A Gateway and the listener of it that passes TLS through."""

    name: Label
    namespace: Label
    listener: Label


class RouteSection(Section):
    """One route for each instance, by the name that the client says in its TLS handshake (SNI)."""

    kind: Literal["Ingress", "TLSRoute"]
    host: str = Field(pattern=_HOST, max_length=180)
    port: Port = 443
    ingress_class: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")
    annotations: dict[str, str] = Field(default_factory=dict)
    gateway: GatewaySection | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _keeps_tls_whole(cls, kind: object) -> object:
        if kind == "HTTPRoute":
            raise ValueError(_NO_HTTP_ROUTE)
        return kind

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "TLSRoute":
            if self.gateway is None or self.ingress_class:
                raise ValueError("a TLSRoute needs a gateway, and has no ingress_class")
        elif self.gateway is not None:
            raise ValueError("an Ingress has no gateway")
        elif not any(_passes_tls(key, value) for key, value in self.annotations.items()):
            raise ValueError(
                "an Ingress must pass TLS through: name the annotation of its controller, for example "
                'nginx.ingress.kubernetes.io/ssl-passthrough: "true"'
            )
        return self

    def host_of(self, name: str) -> str:
        """The host at which the instance whose objects are called ``name`` is reached."""
        return self.host.replace("{name}", name)


def _passes_tls(key: str, value: str) -> bool:
    return _PASSING_TLS.get(key) == value or (key.endswith(_PASSING_TLS_SUFFIX) and value == "true")
