"""The agent's configuration file, typed; read once, and once more upon SIGHUP. ``agent.example.yaml`` explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from hansa.mqtt_client import BrokerTls, MqttMissing, check_installed
from hansa_agent.artefacts import Artefact, ArtefactUnreadable, artefact_digest
from hansa_agent.config_container import ContainerSection
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.config_openstack import OpenStackSection
from hansa_agent.config_operator import OperatorSection
from hansa_agent.config_probe import ProbeSection
from hansa_agent.config_refusals import RefusalsSection
from hansa_agent.config_sections import (
    ArtefactSection,
    FactSection,
    InstanceSection,
    InventorySection,
    Section,
)
from hansa_agent.config_signature import SignatureRefused, key_of, verify
from hansa_agent.config_yaml import ConfigError, load_yaml
from hansa_agent.fact_evidence import completed
from hansa_agent.instance_ports import InstanceSettings
from hansa_agent.probe_keys import ProbeKeys, read_keys
from hansa_agent.reconciliation import RestartPolicy


class AgentConfig(Section):
    """Everything. ``zone`` is "operator/zone" and must be what the agent's certificate says."""

    zone: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*$")
    operator: OperatorSection
    state_dir: Path
    inventory: InventorySection
    facts: list[FactSection] = Field(default_factory=list)
    artefacts: list[ArtefactSection] = Field(default_factory=list)
    probe: ProbeSection = Field(default_factory=ProbeSection)
    instance: InstanceSection
    runtime: Literal["process", "container", "kubernetes", "openstack"] = "process"
    container: ContainerSection | None = None
    kubernetes: KubernetesSection | None = None
    openstack: OpenStackSection | None = None
    refusals: RefusalsSection | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("artefacts")
    @classmethod
    def _named_once(cls, artefacts: list[ArtefactSection]) -> list[ArtefactSection]:
        names = [artefact.name for artefact in artefacts]
        if len(set(names)) != len(names):
            raise ValueError("an artefact is named twice")
        return artefacts

    @model_validator(mode="after")
    def _openstack_is_described(self) -> Self:
        if "openstack" in (self.runtime, self.inventory.source) and self.openstack is None:
            raise ValueError("runtime or inventory.source is 'openstack': a section 'openstack' is needed")
        if self.runtime == "openstack" and self.openstack is not None and self.openstack.server is None:
            raise ValueError("runtime 'openstack' needs openstack.server")
        return self

    @model_validator(mode="after")
    def _runtime_has_its_section(self) -> Self:
        if self.runtime == "container" and self.container is None:
            raise ValueError("the runtime 'container' needs a section 'container', which may be empty ({})")
        return self

    @model_validator(mode="after")
    def _artefacts_fit_the_runtime(self) -> Self:
        for index, artefact in enumerate(self.artefacts):
            if bool(artefact.image) == (self.runtime == "process"):
                needed = "files" if self.runtime == "process" else "an image"
                raise ValueError(f"artefacts.{index}: the runtime {self.runtime!r} needs {needed}")
            if self._servers_run_commands() and not artefact.command:
                raise ValueError(f"artefacts.{index}: openstack.server.start 'command' needs a command")
        return self

    def _servers_run_commands(self) -> bool:
        server = self.openstack.server if self.openstack is not None else None
        return self.runtime == "openstack" and server is not None and server.start == "command"

    @model_validator(mode="after")
    def _shapes_fit_the_cluster(self) -> Self:
        for index, artefact in enumerate(self.artefacts):
            if artefact.serve is None:
                continue
            if self.runtime != "kubernetes" or self.kubernetes is None:
                raise ValueError(f"artefacts.{index}.serve: only the runtime 'kubernetes' knows shapes")
            if problem := self.kubernetes.problem_of(artefact.serve):
                raise ValueError(f"artefacts.{index}.serve: {problem}")
        return self

    @model_validator(mode="after")
    def _has_the_cluster_it_names(self) -> Self:
        for key, chosen in (("runtime", self.runtime), ("inventory.source", self.inventory.source)):
            if chosen == "kubernetes" and self.kubernetes is None:
                raise ValueError(f"{key} 'kubernetes' needs the section 'kubernetes'")
        return self


class LoadedConfig:
    """A configuration with its paths made absolute (against the file's folder) and its digests known."""

    def __init__(self, path: Path, key: str = "") -> None:
        """Reads ``path``; raises ``ConfigError``, also when an artefact does not have the digest that is written.

        With ``key``, the public key of whoever signs configurations, one that is not signed or was altered is refused.
        """
        self.path, self.key = path, key
        self.base = path.resolve().parent
        self.config = load_yaml(path, AgentConfig, self._check_signature)
        self._check_packages()
        self.probe_keys = self._probe_keys()
        self.facts, problems = completed(self.config.facts, self.base)
        if problems:
            raise ConfigError([f"{path}: {problem}" for problem in problems])
        self.artefacts = {section.name: self._artefact(section) for section in self.config.artefacts}

    @property
    def state_dir(self) -> Path:
        return self.base / self.config.state_dir

    def tls_file(self, path: Path) -> bytes:
        """The content of a certificate or key, read anew so that a renewed one is used at the next dial."""
        return (self.base / path).read_bytes()

    def broker_tls(self) -> BrokerTls:
        """How brokers are dialled."""
        operator = self.config.operator
        name = operator.mqtt.server_name if operator.mqtt is not None else ""
        return BrokerTls(self.base / operator.tls.ca, self.base / operator.tls.cert, self.base / operator.tls.key, name)

    def restart_policy(self) -> RestartPolicy:
        instance = self.config.instance
        return RestartPolicy(
            **instance.restart.model_dump(),
            ready_timeout_ms=int(instance.ready_timeout_s * 1_000),
            stop_grace_ms=int(instance.stop_grace_s * 1_000),
        )

    def instance_settings(self) -> InstanceSettings:
        instance = self.config.instance
        return InstanceSettings(
            listen_host=instance.listen_host,
            ports=(instance.port_range.first, instance.port_range.last),
            advertise_host=instance.advertise_host,
            tls_cert=str(self.base / instance.tls.cert) if instance.tls else "",
            tls_key=str(self.base / instance.tls.key) if instance.tls else "",
            log_bytes_max=instance.log_bytes_max,
        )

    def _check_signature(self, content: bytes) -> None:
        try:
            if self.key:
                verify(self.path, content, key_of(self.key))
        except SignatureRefused as refused:
            raise ConfigError([f"{self.path}: {refused}"]) from refused

    def _probe_keys(self) -> ProbeKeys:
        probe = self.config.probe
        pairs = [(key.zones, self.base / key.key_file) for key in probe.keys]
        try:
            return read_keys(pairs, strangers=probe.strangers)
        except OSError as error:
            raise ConfigError([f"{self.path}: probe.keys: {error.filename}: {error.strerror}"]) from error
        except ValueError as error:
            raise ConfigError([f"{self.path}: probe.keys: {error}"]) from error

    def _check_packages(self) -> None:
        try:
            if self.config.operator.mqtt is not None:
                check_installed()
        except MqttMissing as error:
            raise ConfigError([f"{self.path}: operator.mqtt: {error}"]) from error

    def _artefact(self, section: ArtefactSection) -> Artefact:
        if section.image:
            return self._image(section)
        files = tuple(self.base / file for file in section.files)
        try:
            found = artefact_digest(files)
        except ArtefactUnreadable as error:
            raise ConfigError([f"{self.path}: artefact {section.name}: {error}"]) from error
        if section.digest and section.digest != found:
            raise ConfigError([f"{self.path}: artefact {section.name} has digest {found}, not {section.digest}"])
        program = section.command[0]
        absolute = str(self.base / program) if "/" in program else program
        return Artefact(section.name, files, (absolute, *section.command[1:]), found, section.env)

    def _image(self, section: ArtefactSection) -> Artefact:
        digest = section.image.rpartition("@")[2]
        if section.digest not in ("", digest):
            raise ConfigError([f"{self.path}: artefact {section.name} has digest {digest}, not {section.digest}"])
        return Artefact(section.name, (), tuple(section.command), digest, section.env, section.image, section.serve)
