"""The ways to the operator, for the session and for telemetry, as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable

from hansa_agent.config import LoadedConfig
from hansa_agent.ports import Clock, Uplink
from hansa_agent.session import Identity
from hansa_agent.spool import Spool
from hansa_agent.telemetry import Telemetry, TelemetryWay
from hansa_agent.uplink_grpc import GrpcUplink, TlsContent
from hansa_agent.uplink_mqtt import MqttBrokers, MqttIdentity, MqttUplink

TELEMETRY_DIR = "telemetry"


def uplink_of(loaded: LoadedConfig, identity: Identity, new_id: Callable[[], str]) -> Uplink:
    """Certificates are read anew for every dial, so that a renewed one is used."""
    operator = loaded.config.operator
    if operator.mqtt is not None and operator.mqtt.session:
        brokers = MqttBrokers(tuple(operator.mqtt.brokers), loaded.broker_tls(), new_id)
        return MqttUplink(brokers, MqttIdentity(identity.zone, identity.boot_id))

    def read_tls() -> TlsContent:
        tls, read = operator.tls, loaded.tls_file
        return TlsContent(ca=read(tls.ca), cert=read(tls.cert), key=read(tls.key))

    return GrpcUplink(tuple(operator.endpoints), read_tls, operator.server_name)


def telemetry_of(loaded: LoadedConfig, identity: Identity, new_id: Callable[[], str], clock: Clock) -> Telemetry | None:
    """None where it is not asked for. OSError if the spool's folder cannot be used."""
    mqtt = loaded.config.operator.mqtt
    if mqtt is None or not mqtt.telemetry:
        return None
    brokers = MqttBrokers(tuple(mqtt.brokers), loaded.broker_tls(), new_id)
    way = TelemetryWay(brokers, MqttIdentity(identity.zone, identity.boot_id))
    spool = Spool(loaded.state_dir / TELEMETRY_DIR, identity.boot_id, mqtt.spool_mib_max << 20)
    return Telemetry(spool, way, clock)
