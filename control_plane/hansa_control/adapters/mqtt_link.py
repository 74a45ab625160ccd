"""Keeps a connection to the operator's MQTT broker and hands on what comes: sessions of agents, and telemetry."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from hansa.errors import HansaError
from hansa.mqtt_client import BrokerTls, MqttClient, MqttLost, connected
from hansa.mqtt_topics import Way, of_all_zones, topic_in
from hansa_control.adapters.codec_fields import NAME
from hansa_control.adapters.mqtt_agents import MqttAgents
from hansa_control.adapters.mqtt_telemetry import MqttTelemetry
from hansa_control.adapters.task_scope import first_to_end
from hansa_control.application.ports import Clock, IdSource

PAUSE_MS_MIN, PAUSE_MS_MAX = 50, 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Addresses "host:port", tried in turn, and how they are dialled."""

    addresses: Sequence[str]
    tls: BrokerTls


@dataclass(frozen=True, slots=True)
class Takers:
    """Who takes what comes."""

    agents: MqttAgents
    telemetry: MqttTelemetry


class MqttLink:
    """``run`` dials until it is cancelled; then every agent is told that we are stopping."""

    def __init__(self, brokers: Brokers, operator: str, takers: Takers, surroundings: tuple[Clock, IdSource]) -> None:
        self._brokers = brokers
        self._operator = operator
        self.agents, self.telemetry = takers.agents, takers.telemetry
        self._clock, self._ids = surroundings
        self._trouble = ""
        self.reached = asyncio.Event()

    async def run(self) -> None:
        try:
            await first_to_end(self._hold(), self.telemetry.run())
        finally:
            self.telemetry.close()

    def counts(self) -> Mapping[str, int]:
        """Numbers for metrics."""
        agents, telemetry = self.agents.counts, self.telemetry.counts
        return {
            "mqtt_streams": self.agents.stream_count,
            "mqtt_passed_over": sum(agents.values()),
            **{f"telemetry_{what}": telemetry[what] for what in ("records", "doubled", "lost", "refused", "deferred")},
        }

    async def _hold(self) -> None:
        failures = 0
        for address in itertools.cycle(self._brokers.addresses):
            self.reached.clear()
            try:
                await self._one_connection(address)
            except MqttLost as error:
                failures = 0 if self.reached.is_set() else failures + 1
                self._note(address, str(error))
            longest_ms = min(PAUSE_MS_MIN << min(failures, 10), PAUSE_MS_MAX)
            await self._clock.sleep_ms(longest_ms // 2 + int(longest_ms / 2 * self._ids.fraction()))

    async def _one_connection(self, address: str) -> None:
        topics = [of_all_zones(self._operator, way) for way in Way if way.is_from_agent]
        async with connected(address, self._brokers.tls, self._ids.new_id(), topics) as client:
            log.info("mqtt_reached", broker=address)
            self._trouble = ""
            self.agents.begin(client)
            self.telemetry.begin(client)
            self.reached.set()
            why: HansaError | None = HansaError("UNAVAILABLE", "the operator's control plane is stopping")
            try:
                await self._hand_on(client)
            except MqttLost:
                why = None
                raise
            finally:
                self.telemetry.begin(None)
                await self.agents.end(why)

    async def _hand_on(self, client: MqttClient) -> None:
        while True:
            message = await client.receive()
            topic = topic_in(message.topic)
            if topic is None or topic.operator != self._operator or not NAME.fullmatch(topic.zone):
                continue
            if topic.way is Way.UP:
                self.agents.take(topic.zone, message.payload)
            elif topic.way is Way.TELEMETRY:
                self.telemetry.take(topic.zone, message.payload)

    def _note(self, address: str, why: str) -> None:
        """Says so once, and again only when the reason is another one."""
        if why != self._trouble:
            log.warning("mqtt_not_reached", broker=address, message=why)
        self._trouble = why
