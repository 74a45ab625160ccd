"""Puts together what speaks MQTT, for the composition root; loaded only where MQTT is configured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hansa.mqtt_client import BrokerTls
from hansa_control.adapters.agent_link import AgentLinks
from hansa_control.adapters.mqtt_agents import MqttAgents
from hansa_control.adapters.mqtt_link import Brokers, MqttLink
from hansa_control.application.ports import Clock, IdSource


class MqttFiles(NamedTuple):
    """PEM files with which brokers are dialled, and the name expected there if it is not the host's."""

    ca: Path
    cert: Path
    key: Path
    server_name: str


def mqtt_link(
    operator: str, addresses: Sequence[str], files: MqttFiles, links: AgentLinks, clock_and_ids: tuple[Clock, IdSource]
) -> MqttLink:
    """The connection for the sessions of all zones."""
    clock, ids = clock_and_ids
    agents = MqttAgents(links, operator, ids.new_id())
    return MqttLink(Brokers(addresses, BrokerTls(*files)), operator, agents, clock, ids)
