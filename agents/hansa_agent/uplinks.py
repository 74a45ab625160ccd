"""The way to the operator, as the configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable

from hansa_agent.config import LoadedConfig
from hansa_agent.ports import Uplink
from hansa_agent.session import Identity
from hansa_agent.uplink_grpc import GrpcUplink, TlsContent
from hansa_agent.uplink_mqtt import MqttIdentity, MqttUplink


def uplink_of(loaded: LoadedConfig, identity: Identity, new_id: Callable[[], str]) -> Uplink:
    """Certificates are read anew for every dial, so that a renewed one is used."""
    operator = loaded.config.operator
    if operator.mqtt is not None and operator.mqtt.session:
        ours = MqttIdentity(identity.zone, identity.boot_id)
        return MqttUplink(tuple(operator.mqtt.brokers), loaded.broker_tls(), ours, new_id)

    def read_tls() -> TlsContent:
        tls, read = operator.tls, loaded.tls_file
        return TlsContent(ca=read(tls.ca), cert=read(tls.cert), key=read(tls.key))

    return GrpcUplink(tuple(operator.endpoints), read_tls, operator.server_name)
