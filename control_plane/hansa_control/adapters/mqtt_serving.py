"""Puts together what speaks MQTT, for the composition root; loaded only where MQTT is configured."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hansa.mqtt_client import BrokerTls
from hansa_control.adapters.agent_link import AgentLinks
from hansa_control.adapters.mqtt_agents import MqttAgents
from hansa_control.adapters.mqtt_link import Brokers, MqttLink, Takers
from hansa_control.adapters.mqtt_telemetry import MqttTelemetry
from hansa_control.adapters.telemetry_store import TelemetryStore
from hansa_control.application.ports import Clock, IdSource, StoreFailed

TELEMETRY_FILE = "telemetry.db"


class MqttAsked(NamedTuple):
    """What the configuration says of brokers, how they are dialled, and where and for how long telemetry is kept."""

    addresses: Sequence[str]
    tls: BrokerTls
    data_dir: Path
    telemetry_kept_days: int


def mqtt_link(operator: str, asked: MqttAsked, links: AgentLinks, surroundings: tuple[Clock, IdSource]) -> MqttLink:
    """The connection for sessions and telemetry of all zones; StoreFailed if the file of telemetry cannot be used."""
    clock, ids = surroundings
    try:
        asked.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = TelemetryStore(asked.data_dir / TELEMETRY_FILE)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"{asked.data_dir / TELEMETRY_FILE}: {error}") from error
    telemetry = MqttTelemetry(store, operator, clock, asked.telemetry_kept_days)
    agents = MqttAgents(links, operator, ids.new_id())
    return MqttLink(Brokers(asked.addresses, asked.tls), operator, Takers(agents, telemetry), surroundings)
