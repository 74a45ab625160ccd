"""What the zone measured and noted, by way of a spool on disk to the operator, each record once in effect.

One batch is under way at a time and is sent until the operator says that it has it on disk; the operator passes over
what it has already. So a broker that forgets, an operator that is away and an agent that is killed cost time and, once
the spool is full, the oldest records, which are counted and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from hansa.mqtt_client import MqttClient, MqttLost, connected
from hansa.mqtt_topics import Way
from hansa.v1.mqtt_pb2 import InventoryHealth, TelemetryAck, TelemetryBatch, TelemetryRecord
from hansa.v1.network_pb2 import ProbeResult
from hansa_agent.inventory import full_capacity
from hansa_agent.link import backoff_ms
from hansa_agent.ports import Clock, Machine, Random
from hansa_agent.spool import Pending, Spool
from hansa_agent.uplink_mqtt import MqttBrokers, MqttIdentity

_log = structlog.get_logger(__name__)
FLUSH_S = 0.2
ACK_S = 2.0
HEALTH_S = 60.0
BATCH_RECORDS_MAX = 500
BATCH_BYTES_MAX = 128 << 10


@dataclass(frozen=True, slots=True)
class TelemetryWay:
    """Where to, and as whom."""

    brokers: MqttBrokers
    identity: MqttIdentity


class Telemetry:
    """``note_*`` never wait; ``run`` writes and sends until it is cancelled."""

    def __init__(self, spool: Spool, way: TelemetryWay, clock: Clock) -> None:
        self._spool = spool
        self._way = way
        self._clock = clock
        self._noted = asyncio.Event()
        self._written = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._health: InventoryHealth | None = None
        self._lost_told = 0
        self._trouble = ""
        if spool.torn_count:
            _log.warning("telemetry cut off", files=spool.torn_count)

    def note_probe(self, result: ProbeResult) -> None:
        """The figures of one way after a round of probes."""
        self._note(TelemetryRecord(probe=result))

    def note_health(self, machine: Machine) -> None:
        """What the inventory's source says; noted when it has changed, and every minute."""
        health = InventoryHealth(
            source=machine.source,
            trouble=machine.trouble,
            unsound=machine.unsound,
            capacity=full_capacity(machine),
        )
        if health != self._health:
            self._health = health
            self._note(TelemetryRecord(health=health))

    async def run(self, random: Random) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._repeat_health())
                group.create_task(self._send(random))
        finally:
            with contextlib.suppress(OSError):
                self._spool.close()

    # --- to disk ---

    def _note(self, record: TelemetryRecord) -> None:
        record.recorded_at_ms = self._clock.now().wall_ms
        self._spool.append(record.SerializeToString())
        self._noted.set()

    async def _repeat_health(self) -> None:
        while True:
            await self._clock.sleep(HEALTH_S)
            if self._health is not None:
                self._note(TelemetryRecord(health=self._health))

    async def _write(self) -> None:
        """Writes what was noted, a group at a time; what cannot be written is tried again."""
        while True:
            await self._noted.wait()
            await self._clock.sleep(FLUSH_S)
            self._noted.clear()
            try:
                await asyncio.to_thread(self._spool.flush)
            except OSError as error:
                self._tell_trouble(f"the spool cannot be written: {error.strerror}")
                self._noted.set()
            self._written.set()
            self._tell_lost()

    def _tell_lost(self) -> None:
        lost = self._spool.lost_count
        if lost > self._lost_told:
            _log.warning("telemetry lost", count=lost - self._lost_told, in_all=lost)
        self._lost_told = lost

    # --- to the operator ---

    async def _send(self, random: Random) -> None:
        failures = 0
        for broker in itertools.cycle(self._way.brokers.addresses):
            self._acknowledged.clear()
            try:
                await self._one_connection(broker)
            except MqttLost as lost:
                self._tell_trouble(str(lost))
            failures = 0 if self._acknowledged.is_set() else failures + 1
            await self._clock.sleep(backoff_ms(failures, random) / 1_000)

    async def _one_connection(self, broker: str) -> None:
        """Sends until the connection ends, with ``MqttLost``."""
        brokers = self._way.brokers
        topics = [self._way.identity.topic(Way.TELEMETRY_ACK)]
        async with connected(broker, brokers.tls, brokers.new_id(), topics) as client:
            reading = asyncio.ensure_future(self._read_acks(client))
            sending = asyncio.ensure_future(self._send_batches(client))
            try:
                await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
                for task in (reading, sending):
                    if task.done():
                        task.result()
            finally:
                reading.cancel()
                sending.cancel()
                await asyncio.gather(reading, sending, return_exceptions=True)

    async def _send_batches(self, client: MqttClient) -> None:
        while True:
            self._written.clear()
            pending = await self._next_batch()
            if pending is None:
                await self._written.wait()
                continue
            self._acknowledged.clear()
            await client.publish(self._way.identity.topic(Way.TELEMETRY), self._batch(pending))
            await _within(self._acknowledged, ACK_S)

    async def _next_batch(self) -> Pending | None:
        try:
            return await asyncio.to_thread(self._spool.pending, BATCH_RECORDS_MAX, BATCH_BYTES_MAX)
        except OSError as error:
            raise MqttLost(f"the spool cannot be read: {error.strerror}") from error

    def _batch(self, pending: Pending) -> bytes:
        batch = TelemetryBatch(spool=pending.name, lost_count=self._spool.lost_count)
        for one in pending.records:
            record = batch.records.add()
            record.ParseFromString(one.payload)
            record.sequence = one.sequence
        return batch.SerializeToString()

    async def _read_acks(self, client: MqttClient) -> None:
        while True:
            message = await client.receive()
            try:
                ack = TelemetryAck.FromString(message.payload)
            except DecodeError:
                continue
            try:
                is_news = await asyncio.to_thread(self._spool.acknowledge, ack.spool, ack.sequence)
            except OSError as error:
                raise MqttLost(f"the spool cannot be written: {error.strerror}") from error
            if is_news:
                self._trouble = ""
                self._acknowledged.set()

    def _tell_trouble(self, why: str) -> None:
        """Says so once, and again only when the reason is another one."""
        if why != self._trouble:
            _log.warning("telemetry waits", message=why)
        self._trouble = why


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
