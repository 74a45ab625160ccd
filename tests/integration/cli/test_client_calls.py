"""The asynchronous and the synchronous client against a real server: retries, deadlines, resumed watches, paging."""

from __future__ import annotations

from contextlib import aclosing

import cli_canned as canned
import grpc
import pytest
from cli_fake_service import FakeServer, FakeService, watched

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import Profile
from hansa.sync import SyncClient
from hansa.v1 import workload_pb2

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.at_ms = 0
        self.slept_ms: list[int] = []

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep(self, duration_ms: int) -> None:
        self.slept_ms.append(duration_ms)
        self.at_ms += duration_ms


class CountedIds:
    """Ids r-1, r-2, ... and no jitter."""

    def __init__(self) -> None:
        self.count = 0

    def new_id(self) -> str:
        self.count += 1
        return f"r-{self.count}"

    def jitter_ms(self, delay_ms: int) -> int:
        return delay_ms


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client_of(profile: Profile, clock: FakeClock):  # type: ignore[no-untyped-def]
    return lambda: Client(profile, clock=clock, ids=CountedIds())


async def test_unavailable_is_tried_again_with_growing_delays(client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.failures["GetWorkload"] = [UNAVAILABLE] * 3
    async with client_of() as client:
        assert (await client.get("yard-ocr")).name == canned.NAME
    assert clock.slept_ms == [100, 200, 400]
    assert service.request_ids("GetWorkload") == ["r-1"] * 4


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
async def test_nothing_else_is_tried_again(code, client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.failures["GetWorkload"] = [code]
    async with client_of() as client:
        with pytest.raises(HansaError):
            await client.get("yard-ocr")
    assert len(service.called("GetWorkload")) == 1
    assert clock.slept_ms == []


async def test_the_server_may_ask_for_a_longer_wait(client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.failures["GetWorkload"] = [HansaError("UNAVAILABLE", "stopping", retry_after_ms=1500)]
    async with client_of() as client:
        await client.get("yard-ocr")
    assert clock.slept_ms == [1500]


async def test_retries_end_with_the_deadline_and_the_last_error(client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.failures["GetWorkload"] = [UNAVAILABLE] * 100
    async with client_of() as client:
        with pytest.raises(HansaError) as caught:
            await client.get("yard-ocr")
    assert (caught.value.reason, caught.value.request_id) == ("UNAVAILABLE", "r-1")
    assert sum(clock.slept_ms) <= 10_000
    assert max(clock.slept_ms) == 2_000


async def test_a_submit_carries_the_generation_that_is_expected(client_of, service) -> None:  # type: ignore[no-untyped-def]
    async with client_of() as client:
        await client.submit("yard-ocr", canned.spec(), expect_generation=8812)
        await client.submit("yard-ocr", canned.spec())
    assert [request.expect_generation for request in service.called("SubmitWorkload")] == [8812, 0]


async def test_a_repeated_submit_carries_the_same_request_id(client_of, service) -> None:  # type: ignore[no-untyped-def]
    service.failures["SubmitWorkload"] = [UNAVAILABLE]
    async with client_of() as client:
        await client.submit("yard-ocr", canned.spec())
        await client.submit("yard-ocr", canned.spec(), request_id="mine")
    assert [request.request_id for request in service.called("SubmitWorkload")] == ["r-1", "r-1", "mine"]


async def test_a_rich_error_keeps_reason_field_and_request_id(client_of, service) -> None:  # type: ignore[no-untyped-def]
    service.failures["DeleteWorkload"] = [HansaError("ETAG_MISMATCH", "it has changed", field="etag")]
    async with client_of() as client:
        with pytest.raises(HansaError) as caught:
            await client.delete("yard-ocr", etag="old")
    error = caught.value
    assert (error.reason, error.field, error.message, error.request_id) == (
        "ETAG_MISMATCH",
        "etag",
        "it has changed",
        "r-1",
    )
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)


async def test_a_malformed_name_is_refused_before_anything_is_sent(client_of, service) -> None:  # type: ignore[no-untyped-def]
    async with client_of() as client:
        with pytest.raises(HansaError, match="nearest valid: yard-ocr"):
            await client.get("Yard OCR")
    assert not service.calls


async def test_pages_are_followed_to_the_last(client_of, service) -> None:  # type: ignore[no-untyped-def]
    service.page_size_max = 2
    async with client_of() as client:
        zones = [zone.name async for zone in client.zones()]
    assert len(zones) == 7
    assert [request.page_token for request in service.called("ListZones")] == ["", "2", "4", "6"]


async def test_a_broken_watch_resumes_after_the_last_event(client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.streams = [
        [watched(canned.workload(), 1, 2), UNAVAILABLE],
        [UNAVAILABLE],
        [watched(canned.workload(), 3, 3), watched(canned.workload(), 4, 4, deleted=True)],
    ]
    async with client_of() as client:
        sequences = [event.sequence async for update in client.watch("yard-ocr") for event in update.events]
    assert sequences == [1, 2, 3, 4]
    assert [request.after_sequence for request in service.called("WatchWorkload")] == [0, 2, 2]
    assert clock.slept_ms == [100, 200]


async def test_a_watch_that_ends_or_outlives_its_stream_goes_on(client_of, service) -> None:  # type: ignore[no-untyped-def]
    service.streams = [
        [watched(canned.workload(), 1, 1)],
        [watched(canned.workload(), 2, 2), grpc.StatusCode.DEADLINE_EXCEEDED],
        [watched(canned.workload(), 3, 3, deleted=True)],
    ]
    async with client_of() as client:
        updates = [update async for update in client.watch("yard-ocr")]
    assert [request.after_sequence for request in service.called("WatchWorkload")] == [0, 1, 2]
    assert updates[-1].deleted


async def test_a_watch_gives_up_when_its_patience_ends(client_of, service, clock) -> None:  # type: ignore[no-untyped-def]
    service.streams = [[watched(canned.workload(), 1, 1)]] + [[UNAVAILABLE] for _ in range(200)]
    async with client_of() as client:
        with pytest.raises(HansaError, match="UNAVAILABLE"):
            async for _ in client.watch("yard-ocr"):
                pass
    assert 50_000 < sum(clock.slept_ms) <= 60_000


async def test_a_watch_of_nothing_raises_at_once(client_of, service) -> None:  # type: ignore[no-untyped-def]
    async with client_of() as client:
        with pytest.raises(HansaError, match=r"NOT_FOUND \(name\)"):
            await anext(client.watch("absent"))
    assert len(service.called("WatchWorkload")) == 1


async def test_a_watch_survives_a_restart_of_the_operator(
    profile: Profile, server: FakeServer, service: FakeService
) -> None:
    async with Client(profile) as client, aclosing(client.watch("yard-ocr")) as updates:
        assert len((await anext(updates)).events) == 4
        server.stop()
        service.workloads[canned.NAME] = canned.workload(workload_pb2.WORKLOAD_STATE_UNPLACEABLE)
        server.start(server.port)
        update = await anext(updates)
    assert update.workload.state == workload_pb2.WORKLOAD_STATE_UNPLACEABLE
    assert service.called("WatchWorkload")[-1].after_sequence == 4


async def test_events_are_read_without_holding_the_stream(client_of) -> None:  # type: ignore[no-untyped-def]
    async with client_of() as client:
        assert [event.sequence for event in await client.events("yard-ocr")] == [1, 2, 3, 4]


def test_the_synchronous_client_makes_every_call(profile: Profile, service: FakeService) -> None:
    service.streams = [[watched(canned.workload(), 1, 4)], [watched(canned.workload(), 1, 1, deleted=True)]]
    with SyncClient(profile) as client:
        assert client.plan("yard-ocr", canned.spec()).decision.choices
        assert client.submit("yard-ocr", canned.spec()).name == canned.NAME
        assert client.get("yard-ocr").name == canned.NAME
        assert [workload.name for workload in client.workloads()] == [canned.NAME]
        assert len(list(client.zones())) == 7
        assert client.explain("yard-ocr", zone="solvik/sto-1").current_zone == "nordavind/oslo-1"
        assert client.network().snapshot_generation == 8812
        assert client.find_endpoint("yard-ocr").claim == "c-7f3a9e12"
        assert len(client.events("yard-ocr")) == 4
        assert [update.deleted for update in client.watch("yard-ocr")] == [True]
        assert client.delete("yard-ocr").state == workload_pb2.WORKLOAD_STATE_DELETING


def test_the_synchronous_client_raises_the_same_errors(profile: Profile, service: FakeService) -> None:
    with SyncClient(profile) as client, pytest.raises(HansaError, match="NOT_FOUND"):
        client.get("absent")
