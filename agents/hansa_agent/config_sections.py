"""The sections of the agent's configuration file, typed. ``agent.example.yaml`` explains them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from hansa.v1.common_pb2 import EvidenceKind, FactKind
from hansa_agent.fact_values import problem_of
from hansa_agent.launch import ENVIRONMENT
from hansa_agent.serving import Serving

_DETAIL = r"^([A-Za-z0-9][A-Za-z0-9 ._:/-]{0,62})?$"
_FACT_PREFIX, _EVIDENCE_PREFIX = "FACT_KIND_", "EVIDENCE_KIND_"


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not int(port) < 65_536:
        raise ValueError("an address is host:port")
    return text


def _one_of_enum(prefix: str, names: list[str]) -> AfterValidator:
    allowed = [name.removeprefix(prefix) for name in names if not name.endswith("_UNSPECIFIED")]

    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return AfterValidator(check)


Address = Annotated[str, AfterValidator(_host_and_port)]
FactKindName = Annotated[str, _one_of_enum(_FACT_PREFIX, list(FactKind.keys()))]
EvidenceKindName = Annotated[str, _one_of_enum(_EVIDENCE_PREFIX, list(EvidenceKind.keys()))]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Section(BaseModel):
    """What every section has in common: unknown keys are errors.

    Built with the first configuration that has it: sections of other platforms then cost no memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class TlsFiles(Section):
    """Certificate authority, certificate chain and private key, PEM files."""

    ca: Path
    cert: Path
    key: Path


class CapacitySection(Section):
    """What the zone has beside accelerators."""

    cpu_millis: int = Field(ge=0)
    memory_mib: int = Field(ge=0)


class PoolSection(Section):
    """Accelerators of one kind."""

    vendor: str = "nvidia"
    model: str = Field(min_length=1)
    memory_mib: int = Field(ge=0)
    count: int = Field(ge=1)
    mig_profile: str = ""


class InventorySection(Section):
    """What the zone has: said here (``file``), or looked up where it is."""

    source: Literal["file", "machine", "kubernetes", "openstack"] = "file"
    node: str = Field(min_length=1)
    title: str = ""
    capacity: CapacitySection | None = None
    pools: list[PoolSection] = []
    price_millieur_per_hour: int = Field(default=0, ge=0)
    cordoned: bool = False
    failure_domain: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?)?$")
    device_watts: int = Field(default=0, ge=0, le=100_000)

    @model_validator(mode="after")
    def _matches_source(self) -> Self:
        if self.source == "file" and self.capacity is None:
            raise ValueError("source 'file' needs a capacity")
        if self.source != "file" and (self.capacity is not None or self.pools):
            raise ValueError(f"source {self.source!r} finds capacity and pools itself")
        return self


class EvidenceSection(Section):
    """The proof of a fact; times with their offset from UTC. A ``file`` gives what is left out here, if it says it."""

    kind: EvidenceKindName = "DECLARATION"
    file: Path | None = None
    issuer: str = ""
    scheme: str = Field(min_length=1)
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    digest: str = ""

    @model_validator(mode="after")
    def _says_it_or_has_a_file(self) -> Self:
        missing = [name for name in ("issuer", "valid_from", "valid_until") if not getattr(self, name)]
        if missing and self.file is None:
            raise ValueError(f"{missing[0]} is missing, and there is no file that could say it")
        return self


class FactSection(Section):
    """A claim about the zone or its owner. ``version`` and ``level`` are a certification's; its value is the scheme."""

    kind: FactKindName
    value: str = Field(min_length=1)
    version: str = Field(default="", pattern=_DETAIL)
    level: str = Field(default="", pattern=_DETAIL)
    evidence: EvidenceSection

    @field_validator("value", "version", "level", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError('YAML reads this as true or false; write it in quotes, for example "NO"')
        return str(value) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if problem := problem_of(self.kind, self.value):
            raise ValueError(f"{self.kind}: {problem}")
        if self.kind != "CERTIFICATION" and (self.version or self.level):
            raise ValueError(f"{self.kind} has no version and no level; only CERTIFICATION has")
        return self


class ArtefactSection(Section):
    """Something that may run here: files and a command, or a container image by its digest."""

    name: str = Field(min_length=1)
    files: list[Path] = []
    command: list[str] = []
    image: str = Field(default="", pattern=r"^([^\s@]+@sha256:[0-9a-f]{64})?$")
    env: dict[str, str] = {}
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    serve: Serving | None = None

    @model_validator(mode="after")
    def _is_files_or_image(self) -> Self:
        if bool(self.files) == bool(self.image):
            raise ValueError("either 'files' or 'image', not both")
        if self.files and not self.command:
            raise ValueError("'files' need a command")
        return self

    @field_validator("env")
    @classmethod
    def _leaves_ours_alone(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if name in ENVIRONMENT:
                raise ValueError(f"{name} is set by the agent")
        return env


class InstanceTls(Section):
    """The certificate chain and key that instances serve with, PEM files."""

    cert: Path
    key: Path


class PortRange(Section):
    """First and last port for instances."""

    first: Port
    last: Port

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError("last is below first")
        return self


class RestartSection(Section):
    """How patiently instances are treated; see ``RestartPolicy``."""

    backoff_ms_min: int = Field(default=250, ge=1)
    backoff_ms_max: int = Field(default=30_000, ge=1)
    quick_ms: int = Field(default=10_000, ge=0)
    quick_failures_max: int = Field(default=5, ge=1)


class InstanceSection(Section):
    """Where and how instances run."""

    listen_host: str = "127.0.0.1"
    advertise_host: str = ""
    port_range: PortRange
    tls: InstanceTls | None = None
    stop_grace_s: float = Field(default=10.0, ge=0)
    ready_timeout_s: float = Field(default=120.0, ge=0)
    log_bytes_max: int = Field(default=10 << 20, ge=4_096)
    restart: RestartSection = Field(default_factory=RestartSection)
