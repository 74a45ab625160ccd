"""Takes zones' telemetry from the broker to disk, and acknowledges what is there."""

from __future__ import annotations

import asyncio
import itertools
import re
import sqlite3
from collections import Counter

import structlog
from google.protobuf.message import DecodeError

from hansa.mqtt_client import MqttClient, MqttLost
from hansa.mqtt_topics import Way, ZoneTopic
from hansa.v1.mqtt_pb2 import TelemetryAck, TelemetryBatch, TelemetryRecord
from hansa_control.adapters.rates import TokenBucket
from hansa_control.adapters.telemetry_store import SpoolPart, TelemetryLine, TelemetryStore
from hansa_control.application.ports import Clock, RefusalError

BATCHES_PER_S, BATCHES_BURST = 20, 40
BATCHES_QUEUED_MAX = 256
BATCH_BYTES_MAX = 1 << 20
RECORDS_MAX = 1_000
SEQUENCE_MAX = (1 << 63) - 1
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_SPOOL = re.compile(r"[A-Za-z0-9-]{1,64}")

log = structlog.get_logger(__name__)


class MqttTelemetry:
    """``take`` does not wait. ``run`` writes until it is cancelled; batches that it finds waiting, all at once."""

    def __init__(self, store: TelemetryStore, operator: str, clock: Clock, kept_days: int) -> None:
        self._store = store
        self._operator = operator
        self._clock = clock
        self._kept_ms = kept_days * DAY_MS
        self._queue: asyncio.Queue[SpoolPart] = asyncio.Queue(BATCHES_QUEUED_MAX)
        self._rates: dict[str, TokenBucket] = {}
        self._client: MqttClient | None = None
        self._due_ms = 0
        self.counts: Counter[str] = Counter()

    def begin(self, client: MqttClient | None) -> None:
        """The broker is reached, or is not any more."""
        self._client = client

    def take(self, zone: str, payload: bytes) -> None:
        """What came from the topic of a zone. What is left out here the agent sends again, later."""
        part = self._part_of(zone, payload)
        try:
            if part is not None:
                self._rate_of(zone).take()
                self._queue.put_nowait(part)
        except (RefusalError, asyncio.QueueFull):
            self.counts["deferred"] += 1

    async def run(self) -> None:
        while True:
            parts = [await self._queue.get()]
            while not self._queue.empty():
                parts.append(self._queue.get_nowait())
            try:
                await self._keep(parts)
            except sqlite3.Error as error:
                # Nothing was acknowledged; the agents send it again.
                log.error("telemetry_not_kept", error=str(error))
                await self._clock.sleep_ms(1_000)

    def close(self) -> None:
        self._store.close()

    async def _keep(self, parts: list[SpoolPart]) -> None:
        now_ms = self._clock.wall_ms()
        taken = await asyncio.to_thread(self._store.take, parts, now_ms)
        for part, outcome in zip(parts, taken, strict=True):
            self.counts["records"] += outcome.new_count
            self.counts["doubled"] += len(part.lines) - outcome.new_count
            if outcome.newly_lost:
                self.counts["lost"] += outcome.newly_lost
                log.warning("telemetry_lost", zone=part.zone, count=outcome.newly_lost, in_all=part.lost_count)
            await self._acknowledge(part)
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + HOUR_MS
            await asyncio.to_thread(self._store.forget_before, now_ms - self._kept_ms)

    async def _acknowledge(self, part: SpoolPart) -> None:
        topic = str(ZoneTopic(self._operator, part.zone, Way.TELEMETRY_ACK))
        ack = TelemetryAck(spool=part.spool, sequence=part.last)
        try:
            if self._client is not None:
                await self._client.publish(topic, ack.SerializeToString())
        except MqttLost:
            log.debug("telemetry_not_acknowledged", zone=part.zone)

    def _rate_of(self, zone: str) -> TokenBucket:
        return self._rates.setdefault(zone, TokenBucket(self._clock, BATCHES_PER_S, BATCHES_BURST))

    def _part_of(self, zone: str, payload: bytes) -> SpoolPart | None:
        """A batch as it is kept; None if it cannot be one of an agent of ours."""
        wrong = "" if len(payload) <= BATCH_BYTES_MAX else f"{len(payload)} bytes, at most {BATCH_BYTES_MAX}"
        try:
            batch = TelemetryBatch() if wrong else TelemetryBatch.FromString(payload)
            wrong = wrong or _wrong_batch(batch)
        except DecodeError:
            wrong = "cannot be read"
        if wrong:
            self.counts["refused"] += 1
            log.warning("telemetry_refused", zone=zone, reason=wrong)
            return None
        lines = [line for record in batch.records if (line := self._line_of(zone, record)) is not None]
        return SpoolPart(zone, batch.spool, batch.records[-1].sequence, batch.lost_count, lines)

    def _line_of(self, zone: str, record: TelemetryRecord) -> TelemetryLine | None:
        """A record as it is kept; None, and counted, if it says nothing or speaks for another zone."""
        kind = record.WhichOneof("body")
        speaks_for = record.probe.source_zone if kind == "probe" else f"{self._operator}/{zone}"
        if kind is None or speaks_for != f"{self._operator}/{zone}" or record.recorded_at_ms < 0:
            self.counts["refused"] += 1
            return None
        return TelemetryLine(record.sequence, record.recorded_at_ms, kind, record.SerializeToString())


def _wrong_batch(batch: TelemetryBatch) -> str:
    """What is wrong with it as a whole; "" if nothing is."""
    numbers = [record.sequence for record in batch.records]
    if not _SPOOL.fullmatch(batch.spool):
        return "spool is no name of 1 to 64 letters, digits and hyphens"
    if not 1 <= len(numbers) <= RECORDS_MAX:
        return f"{len(numbers)} records, from 1 to {RECORDS_MAX} are taken"
    if not (numbers[0] > 0 and numbers[-1] < SEQUENCE_MAX and 0 <= batch.lost_count < SEQUENCE_MAX):
        return "a number is out of range"
    return "" if all(a < b for a, b in itertools.pairwise(numbers)) else "numbers do not rise"
