"""The configuration of one operator's control plane: a YAML file, with single values overridden by the environment.

Every key of the file may be overridden by a variable named ``HANSA_`` and the key, with two underscores between levels:
``HANSA_LISTEN__API=127.0.0.1:0``. Paths are relative to the file. Whatever is not understood is an error with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from hansa.targets import target_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ENVIRONMENT_PREFIX = "HANSA_"
FILE_BYTES_MAX = 1024 * 1024

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")

Location = tuple[str | int, ...]


class ConfigError(ValueError):
    """The configuration cannot be used. ``field`` is the dotted path to what is wrong, ``line`` counts from 1."""

    def __init__(self, where: str, field: str, message: str) -> None:
        super().__init__(f"{where}: {field}: {message}" if field else f"{where}: {message}")
        self.field = field


def _host_port(value: str) -> str:
    found = _HOST_PORT.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise ValueError(f"{value!r} is not host:port")
    return value


Address = Annotated[str, AfterValidator(_host_port)]


def _endpoint(value: str) -> str:
    target_of(value)
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
TrustDomain = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,253}[a-z0-9])?$")]
Milliseconds = Annotated[int, Field(ge=10, le=3_600_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Part):
    """Where the servers listen, "host:port"; port 0 takes any that is free."""

    api: Address = "127.0.0.1:7443"
    agents: Address = "127.0.0.1:7444"
    partners: Address = "127.0.0.1:7445"
    metrics: Address = "127.0.0.1:9464"


class Tls(_Part):
    """This control plane's certificate and key, and the operator's own authority."""

    ca: Path
    cert: Path
    key: Path


class KnownOperator(_Part):
    """An operator with which nothing is agreed, but whose signature is believed on what partners pass on of it.
    ``trust_domain`` defaults to ``<operator>.hansa.example``.
    """

    operator: Name
    ca: Path
    trust_domain: TrustDomain = ""

    @model_validator(mode="before")
    @classmethod
    def _default_trust_domain(cls, data: Any) -> Any:
        return _with_trust_domain(data)


class Partner(KnownOperator):
    """An operator with whom a federation is agreed. ``endpoint`` may list the addresses of its replicas."""

    endpoint: Endpoint


class LegalFact(_Part):
    """A fact on this operator's own legal control, with its evidence, as it signs it to partners."""

    kind: Literal["HEADQUARTERS_COUNTRY", "ULTIMATE_PARENT_COUNTRY", "FOREIGN_SHARE_PERCENT", "EXTRATERRITORIAL_LAW"]
    value: str
    evidence: Literal["DECLARATION", "REGISTER", "CERTIFICATE"] = "DECLARATION"
    issuer: str
    scheme: str
    valid_from: AwareDatetime
    valid_until: AwareDatetime
    digest: str = ""


class Timings(_Part):
    """Durations in milliseconds. linger_ms is for how long an instance answers after users were told of another,
    stray_after_ms after how long a claim that a partner keeps for us and nobody here knows is given back,
    start_within_ms how long a placement may take to be ready, or to be ready again, before it is given up.
    """

    heartbeat_interval_ms: Milliseconds = 1_000
    quiet_after_ms: Milliseconds = 2_500
    lost_after_ms: Milliseconds = 4_000
    hold_lease_ms: Milliseconds = 10_000
    offer_ttl_ms: Milliseconds = 6_000
    clock_skew_ms_max: Milliseconds = 300_000
    tick_ms: Milliseconds = 250
    drain_ms: Annotated[int, Field(ge=0, le=600_000)] = 5_000
    linger_ms: Annotated[int, Field(ge=0, le=600_000)] = 4_000
    stray_after_ms: Milliseconds = 60_000
    start_within_ms: Annotated[int, Field(ge=1_000, le=86_400_000)] = 900_000

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.heartbeat_interval_ms < self.quiet_after_ms < self.lost_after_ms:
            raise ValueError("heartbeat_interval_ms < quiet_after_ms < lost_after_ms does not hold")
        if self.offer_ttl_ms <= self.heartbeat_interval_ms:
            raise ValueError("offer_ttl_ms must be longer than heartbeat_interval_ms")
        return self


class Limits(_Part):
    """How much others may ask of this control plane, and after how many calls in a row that a partner did not answer
    it is left alone for a pause."""

    messages_per_s: Count = 500
    messages_burst: Count = 1_000
    facts_per_zone_max: Annotated[int, Field(ge=1, le=100)] = 100
    concurrent_calls_max: Count = 4_096
    partner_calls_per_s: Count = 2_000
    partner_calls_burst: Count = 4_000
    circuit_failures_max: Annotated[int, Field(ge=1, le=1_000)] = 3
    circuit_pause_ms: Milliseconds = 2_000


class Placing(_Part):
    """How many owners are asked for one placement, one after another, and how long that may take in all."""

    choices_tried_max: Annotated[int, Field(ge=1, le=64)] = 8
    deadline_ms: Annotated[int, Field(ge=100, le=60_000)] = 6_000
    promise_half_life_ms: Annotated[int, Field(ge=60_000, le=31_536_000_000)] = 21_600_000


class StoreConfig(_Part):
    """Where records are kept: in a file of ``data_dir``, or in a PostgreSQL database that several replicas share.

    ``postgres`` is a libpq URL without a password (name a file: ``passfile=``); a host that is not this one needs
    ``sslmode=verify-full``. ``replica`` is this process's name among those of the operator, different in each.
    """

    postgres: str = ""
    replica: Name | None = None
    lease_ms: Annotated[int, Field(ge=500, le=60_000)] = 3_000
    patience_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 30_000

    @model_validator(mode="after")
    def _replica_is_named(self) -> Self:
        if self.postgres and self.replica is None:
            raise ValueError("postgres needs replica: the name of this process, another one in each replica")
        if not self.postgres and self.replica is not None:
            raise ValueError("replica goes with postgres: a file has one process")
        return self


class Mqtt(_Part):
    """The operator's MQTT brokers, tried in turn, for agents that can only speak MQTT and for telemetry.

    ``tls`` serves here, too. ``server_name`` if the broker's certificate does not name its host.
    """

    brokers: Annotated[tuple[Address, ...], Field(min_length=1)]
    server_name: str = ""
    telemetry_kept_days: Annotated[int, Field(ge=1, le=3_650)] = 30


class Config(BaseSettings):
    """Everything that an operator decides. Paths are absolute once it is read."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    operator: Name
    trust_domain: TrustDomain = ""
    data_dir: Path
    network: Path
    law: Path | None = None
    agreements: Path | None = None
    places_checked: bool = True
    usage_kept_days: Annotated[int, Field(ge=1, le=3_650)] = 400
    store: StoreConfig = StoreConfig()
    listen: Listen = Listen()
    mqtt: Mqtt | None = None
    tls: Tls
    partners: tuple[Partner, ...] = ()
    known_operators: tuple[KnownOperator, ...] = ()
    legal_facts: tuple[LegalFact, ...] = ()
    timings: Timings = Timings()
    limits: Limits = Limits()
    placing: Placing = Placing()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @model_validator(mode="before")
    @classmethod
    def _default_trust_domain(cls, data: Any) -> Any:
        return _with_trust_domain(data)

    @model_validator(mode="after")
    def _partners_are_others(self) -> Self:
        others = (*self.partners, *self.known_operators)
        names = [self.operator, *(other.operator for other in others)]
        domains = [self.trust_domain, *(other.trust_domain for other in others)]
        for values in (names, domains):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is named twice among the operator, its partners and known operators")
        return self


def _with_trust_domain(data: Any) -> Any:
    if isinstance(data, dict) and not data.get("trust_domain") and isinstance(data.get("operator"), str):
        return {**data, "trust_domain": f"{data['operator']}.hansa.example"}
    return data


def read_config(path: Path) -> Config:
    """Reads a configuration file. ConfigError if anything in it is not understood, OSError if it cannot be read."""
    root = _compose(path)
    _refuse_repeated_keys(path, root)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        config = Config(**values)
    except ValidationError as error:
        raise _explained(path, root, error) from error
    except SettingsError as error:
        raise ConfigError(f"environment ({ENVIRONMENT_PREFIX}...)", "", str(error)) from error
    return _absolute(config, path.resolve().parent)


def _compose(path: Path) -> yaml.MappingNode:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ConfigError(str(path), "", f"larger than {FILE_BYTES_MAX} bytes")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}", "", f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"not YAML in UTF-8: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1", "", f"not a mapping; known keys are {', '.join(Config.model_fields)}")
    return root


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    """YAML keeps the last of two equal keys; here the second is an error."""
    seen: set[str] = set()
    for key, child in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value in seen:
            raise ConfigError(f"{path}:{key.start_mark.line + 1}", str(key.value), "given twice")
        seen.add(key.value)
        _refuse_repeated_keys(path, child)


# --- errors ---------------------------------------------------------------------------------------------------------


def _explained(path: Path, root: yaml.MappingNode, error: ValidationError) -> ConfigError:
    # A misspelt key also makes the right one missing; the misspelling is what to mend.
    first = min(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
    location = first["loc"]
    return ConfigError(f"{path}:{_line(root, location)}", _dotted(location), _message(first))


def _line(root: yaml.Node, location: Location) -> int:
    """The line of what a location leads to, or of the last step on the way that is in the file."""
    node, line = root, root.start_mark.line
    for step in location:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return line + 1


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, child) for key, child in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line, child
    return None


def _dotted(location: Location) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


def _message(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return f"{error['msg']}; got {given!r}" if isinstance(given, str | int | float | None) else error["msg"]


def _unknown_key(location: Location) -> str:
    *parents, key = location
    valid = sorted(_model_at(parents).model_fields)
    near = get_close_matches(str(key), valid, n=1, cutoff=0.4)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known are {', '.join(valid)}"


def _model_at(parents: Iterable[str | int]) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for step in parents:
        if isinstance(step, str):
            annotation = model.model_fields[step].annotation
            candidates = (annotation, *get_args(annotation))
            model = next(one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel))
    return model


def _absolute(config: Config, base: Path) -> Config:
    tls = Tls(ca=base / config.tls.ca, cert=base / config.tls.cert, key=base / config.tls.key)
    partners = tuple(partner.model_copy(update={"ca": base / partner.ca}) for partner in config.partners)
    known = tuple(one.model_copy(update={"ca": base / one.ca}) for one in config.known_operators)
    law = None if config.law is None else base / config.law
    agreements = None if config.agreements is None else base / config.agreements
    paths = {"data_dir": base / config.data_dir, "network": base / config.network, "law": law}
    paths |= {"agreements": agreements}
    return config.model_copy(update={**paths, "tls": tls, "partners": partners, "known_operators": known})
