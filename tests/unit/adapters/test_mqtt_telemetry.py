"""Telemetry as it comes from a broker: what is taken, what is refused, what is put off, and what is acknowledged."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hansa_control.adapters import mqtt_telemetry
from hansa_control.adapters.mqtt_telemetry import BATCHES_BURST, MqttTelemetry
from hansa_control.adapters.system import SystemClock
from hansa_control.adapters.telemetry_store import SpoolPart, Taken, TelemetryStore

from hansa.mqtt_client import MqttLost
from hansa.v1.mqtt_pb2 import InventoryHealth, TelemetryAck, TelemetryBatch, TelemetryRecord
from hansa.v1.network_pb2 import ProbeResult


class Client:
    """A broker's client that keeps what is published."""

    def __init__(self) -> None:
        self.acks: asyncio.Queue[tuple[str, TelemetryAck]] = asyncio.Queue()
        self.is_lost = False

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.is_lost:
            raise MqttLost("gone")
        self.acks.put_nowait((topic, TelemetryAck.FromString(payload)))


def record(sequence: int, source: str = "nordavind/oslo-1") -> TelemetryRecord:
    return TelemetryRecord(sequence=sequence, recorded_at_ms=7, probe=ProbeResult(source_zone=source, min_us=sequence))


def batch(*records: TelemetryRecord, spool: str = "boot-1", lost: int = 0) -> bytes:
    return TelemetryBatch(spool=spool, lost_count=lost, records=records).SerializeToString()


@asynccontextmanager
async def taking(store: Any) -> AsyncIterator[tuple[MqttTelemetry, Client]]:
    telemetry, client = MqttTelemetry(store, "nordavind", SystemClock(), 30), Client()
    telemetry.begin(client)  # type: ignore[arg-type]
    running = asyncio.create_task(telemetry.run())
    try:
        yield telemetry, client
    finally:
        running.cancel()


async def next_ack(client: Client) -> tuple[str, str, int]:
    topic, ack = await asyncio.wait_for(client.acks.get(), 10)
    return topic, ack.spool, ack.sequence


def kept(store: TelemetryStore) -> list[int]:
    return [line.sequence for _, line in store.lines("oslo-1")]


async def test_a_batch_is_acknowledged_once_it_is_on_disk(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    async with taking(store) as (telemetry, client):
        telemetry.take("oslo-1", batch(record(1), record(2)))
        assert await next_ack(client) == ("hansa/v1/nordavind/oslo-1/telemetry-ack", "boot-1", 2)
        assert kept(store) == [1, 2]


async def test_a_batch_that_comes_again_is_acknowledged_again_and_kept_once(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    async with taking(store) as (telemetry, client):
        for _ in range(2):
            telemetry.take("oslo-1", batch(record(1)))
            assert (await next_ack(client))[2] == 1
        assert kept(store) == [1] and telemetry.counts["doubled"] == 1


async def test_a_record_that_speaks_for_another_zone_or_says_nothing_is_left_out_and_does_not_hold_up_the_rest(
    tmp_path: Path,
) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    forged, empty = record(2, "nordavind/bergen-1"), TelemetryRecord(sequence=3)
    health = TelemetryRecord(sequence=4, health=InventoryHealth(source="file"))
    async with taking(store) as (telemetry, client):
        telemetry.take("oslo-1", batch(record(1), forged, empty, health))
        assert (await next_ack(client))[2] == 4
        assert kept(store) == [4, 1] and telemetry.counts["refused"] == 2


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"",
        batch(),
        batch(record(1), spool=""),
        batch(record(1), spool="a b"),
        batch(record(1), spool="x" * 65),
        batch(record(2), record(1)),
        batch(record(1), record(1)),
        batch(record(0)),
        batch(record(-1)),
        batch(record((1 << 63) - 1)),
        batch(record(1), lost=-1),
        batch(*(record(number) for number in range(1, 1_002))),
        b"x" * (1 << 20) + b"x",
    ],
)
async def test_what_is_no_batch_is_refused_counted_and_not_acknowledged(tmp_path: Path, payload: bytes) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    async with taking(store) as (telemetry, client):
        telemetry.take("oslo-1", payload)
        assert telemetry.counts["refused"] == 1
        telemetry.take("oslo-1", batch(record(9)))
        assert (await next_ack(client))[2] == 9
    assert kept(store) == [9]


async def test_a_zone_that_sends_too_often_is_put_off_and_another_is_served(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    async with taking(store) as (telemetry, client):
        for number in range(1, BATCHES_BURST + 20):
            telemetry.take("oslo-1", batch(record(number)))
        telemetry.take("bergen-1", batch(record(1, "nordavind/bergen-1")))
        topics = {(await next_ack(client))[0].split("/")[3] for _ in range(BATCHES_BURST + 1)}
    assert topics == {"oslo-1", "bergen-1"} and telemetry.counts["deferred"] >= 18


async def test_what_cannot_be_kept_is_not_acknowledged_and_taken_when_it_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        failures = 1

        def take(self, parts: Iterable[SpoolPart], now_ms: int) -> list[Taken]:
            if self.failures:
                self.failures -= 1
                raise sqlite3.OperationalError("database or disk is full")
            return [Taken(len(part.lines), 0) for part in parts]

        def forget_before(self, moment_ms: int) -> int:
            return 0

    async with taking(Full()) as (telemetry, client):
        telemetry.take("oslo-1", batch(record(1)))
        await asyncio.sleep(0.05)
        assert client.acks.empty()
        telemetry.take("oslo-1", batch(record(1)))
        assert (await next_ack(client))[2] == 1


async def test_an_acknowledgement_that_does_not_get_through_does_no_harm(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    async with taking(store) as (telemetry, client):
        client.is_lost = True
        telemetry.take("oslo-1", batch(record(1)))
        async with asyncio.timeout(10):
            while telemetry.counts["records"] < 1:
                await asyncio.sleep(0.01)
        client.is_lost = False
        telemetry.take("oslo-1", batch(record(1)))
        assert (await next_ack(client))[2] == 1
    assert kept(store) == [1]


def test_what_is_kept_goes_after_the_days_that_were_asked_for() -> None:
    assert mqtt_telemetry.DAY_MS == 24 * mqtt_telemetry.HOUR_MS == 86_400_000
