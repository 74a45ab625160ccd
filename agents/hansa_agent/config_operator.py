"""The section ``operator`` of the agent's configuration file: the ways to the own operator, by gRPC or by MQTT."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from hansa_agent.config_sections import Address, Section, TlsFiles

SpoolMib = Annotated[int, Field(ge=1, le=65_536)]


class MqttSection(Section):
    """The operator's MQTT brokers, tried in turn; ``tls`` of the operator serves here, too.

    ``session``: adverts and orders go this way, where a zone can speak nothing else. ``telemetry``: what was measured
    and noted goes this way, by way of a spool on disk of at most ``spool_mib_max``.
    """

    brokers: list[Address] = Field(min_length=1)
    server_name: str = ""
    session: bool = False
    telemetry: bool = True
    spool_mib_max: SpoolMib = 64

    @model_validator(mode="after")
    def _is_for_something(self) -> Self:
        if not self.session and not self.telemetry:
            raise ValueError("neither session nor telemetry goes by MQTT; leave the section out")
        return self


class OperatorSection(Section):
    """The own operator: addresses tried in turn, and the name in its certificate if it is not the host's."""

    endpoints: list[Address] = Field(default_factory=list)
    server_name: str = ""
    tls: TlsFiles
    mqtt: MqttSection | None = None

    @model_validator(mode="after")
    def _has_one_way_for_the_session(self) -> Self:
        by_mqtt = self.mqtt is not None and self.mqtt.session
        if by_mqtt and self.endpoints:
            raise ValueError("the session goes either to endpoints (gRPC) or by MQTT (mqtt.session), not both")
        if not by_mqtt and not self.endpoints:
            raise ValueError("no way for the session: name endpoints, or set mqtt.session")
        return self
