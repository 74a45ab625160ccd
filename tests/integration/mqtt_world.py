"""An operator whose agents speak MQTT: a real control plane and a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from control_harness import Operator, authority_of, running
from hansa_agent.uplink_mqtt import MqttBrokers, MqttIdentity, MqttUplink
from hansa_control.adapters.authority import Role
from hansa_control.adapters.mqtt_link import MqttLink
from hansa_control.adapters.system import SystemIds
from hansa_control.domain.model import ZoneState
from mqtt_broker import Broker

ZONES = ("oslo-1", "bergen-1")
PATIENT = {"timings": {"quiet_after_ms": 20_000, "lost_after_ms": 60_000}}
SOON_S = 10.0


class World:
    """An operator, its broker, and what its agents need."""

    def __init__(self, operator: Operator, broker: Broker) -> None:
        self.operator = operator
        self.broker = broker
        self.ids = SystemIds()

    @property
    def link(self) -> MqttLink:
        assert self.operator.running._mqtt is not None
        return self.operator.running._mqtt

    def brokers(self, zone: str = "oslo-1") -> MqttBrokers:
        return MqttBrokers((self.broker.address,), self.broker.tls(Role.AGENT, zone), self.ids.new_id)

    def uplink(self, zone: str = "oslo-1", boot_id: str = "boot-1") -> MqttUplink:
        return MqttUplink(self.brokers(zone), MqttIdentity(f"nordfjord/{zone}", boot_id))

    def zones(self) -> dict[str, ZoneState]:
        return {zone.id.zone: zone.state for zone in self.operator.running.application.queries.zones("", 100)}

    async def until_zone(self, zone: str, state: ZoneState) -> None:
        async with asyncio.timeout(SOON_S):
            while self.zones().get(zone) is not state:
                await asyncio.sleep(0.01)

    async def reached(self) -> None:
        """Waits until the operator's control plane has reached the broker."""
        async with asyncio.timeout(SOON_S):
            while self.operator.running._mqtt is None:
                await asyncio.sleep(0.01)
            await self.link.reached.wait()


@asynccontextmanager
async def mqtt_world(folder: Path, settings: dict[str, Any] | None = None) -> AsyncIterator[World]:
    """Broker and control plane, which has reached it."""
    chosen = dict(PATIENT if settings is None else settings)
    operator = Operator("nordfjord", folder / "operator", authority_of("nordfjord"), settings=chosen)
    broker = Broker(folder / "broker", operator, ZONES)
    await broker.start()
    operator.settings["mqtt"] = {"brokers": [broker.address]}
    world = World(operator, broker)
    try:
        async with running(operator):
            await world.reached()
            yield world
    finally:
        await broker.kill()
