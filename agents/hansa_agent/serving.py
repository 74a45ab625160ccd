"""How an allowed container image is served on a cluster: its shape, as the zone's owner says it beside its digest."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_IMAGE = r"^[^\s@]+@sha256:[0-9a-f]{64}$"
_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_OURS = ("--host", "--port", "--ssl", "--tensor-parallel-size", "-tp", "--uds", "--root-path")
"""Options of a server that the agent sets, or that would open another way in."""


def _is_ours(option: str) -> bool:
    """Whether a server's parser of options would take it for one of ours: vLLM's takes underscores for hyphens, and
    Python's argparse the beginning of a name for the whole.
    """
    name = option.partition("=")[0].replace("_", "-")
    return name.startswith(_OURS) or (name.startswith("--") and len(name) > 2 and _begins_ours(name))


def _begins_ours(name: str) -> bool:
    return any(ours.startswith(name) for ours in _OURS)


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Front(_Shape):
    """The container that ends mutual TLS beside a server that speaks plain HTTP; its image is the agent's own."""

    image: str = Field(pattern=_IMAGE)
    cpu_millis: int = Field(default=100, ge=1)
    memory_mib: int = Field(default=128, ge=1)


class Cache(_Shape):
    """Where models lie, at ``/hansa/cache``: a claim of the namespace, or room that goes with the pod."""

    claim: str = Field(default="", pattern=f"^$|{_NAME}")
    size_mib: int = Field(default=0, ge=0)
    read_only: bool = False

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if bool(self.claim) == bool(self.size_mib):
            raise ValueError("either 'claim' or 'size_mib', not both")
        return self


class Plain(_Shape):
    """A Deployment of an image that keeps hansa's contract by itself."""

    shape: Literal["deployment"]


class Fronted(_Shape):
    """What is common to servers that know nothing of hansa and listen on loopback behind a front."""

    front: Front
    port: int = Field(default=8_000, ge=1_024, le=65_535)
    args: tuple[str, ...] = ()
    health: str = Field(default="/health", pattern=r"^/[A-Za-z0-9/_.-]*$")
    startup_s: int = Field(default=900, ge=5)
    shm_mib: int = Field(default=1_024, ge=0)
    cache: Cache | None = None

    @model_validator(mode="after")
    def _leaves_the_way_in_alone(self) -> Self:
        for option in self.args:
            if _is_ours(option):
                raise ValueError(f"{option}: the agent sets where a server listens and how many devices it uses")
        return self


class Vllm(Fronted):
    """A Deployment of a vLLM server, which speaks OpenAI's API. ``model`` is a path or a name that the cache has."""

    shape: Literal["vllm"]
    model: str = Field(min_length=1)
    served_name: str = ""


class KServe(Fronted):
    """An InferenceService of KServe with a predictor of its own, without Knative. "{port}" in ``args`` is filled in."""

    shape: Literal["kserve"]
    health: str = Field(default="/v2/health/ready", pattern=r"^/[A-Za-z0-9/_.-]*$")
    deployment_mode: Literal["RawDeployment", "Standard"] = "RawDeployment"

    @model_validator(mode="before")
    @classmethod
    def _args_name_the_port(cls, content: object) -> object:
        if isinstance(content, dict) and not any("{port}" in str(each) for each in content.get("args") or ()):
            raise ValueError("args must tell the server to listen on 127.0.0.1 and {port}")
        return content

    @model_validator(mode="after")
    def _leaves_the_way_in_alone(self) -> Self:
        return self


Serving = Annotated[Plain | Vllm | KServe, Field(discriminator="shape")]
