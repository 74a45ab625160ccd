"""Both clients against a control plane that really keeps what it was told, goes away, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from control_harness import authority_of, spec
from hansa_control.application.queries import Queries
from hansa_control.application.workloads import Workloads
from hansa_control.domain.model import WorkloadId
from operator_thread import L40S, OperatorThread, ZoneByHand
from structlog.testing import capture_logs

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import Profile, load_profile
from hansa.sync import SyncClient
from hansa.system import SystemClock
from hansa.v1 import workload_pb2

OSLO = ZoneByHand("oslo-1", "oslo", L40S)
PAGED_COUNT = 250
BOUND_S = 30.0


class NoPatience(SystemClock):
    """Time in which nobody waits: whoever wants to try again is found out."""

    async def sleep(self, duration_ms: int) -> None:
        raise AssertionError(f"wanted to wait {duration_ms} ms")


@pytest.fixture(scope="module")
def _silent() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def home(_silent: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorThread]:
    """One operator with one zone, for everybody who leaves it as it was."""
    thread = OperatorThread(tmp_path_factory.mktemp("home"), OSLO)
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def fleeting(_silent: None, tmp_path: Path) -> Iterator[OperatorThread]:
    """One operator with one zone that a test may stop and start again."""
    thread = OperatorThread(tmp_path, OSLO)
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def profile(home: OperatorThread, request: pytest.FixtureRequest) -> Profile:
    """A tenant for each test, so that none sees what another left."""
    name: str = request.node.name.replace("_", "-").partition("[")[0]
    return home.profile(name[-40:].strip("-"))


async def finished(client: Client, name: str) -> None:
    """Deletes a workload and waits until it is gone."""
    await client.delete(name)
    try:
        async with asyncio.timeout(BOUND_S), aclosing(client.watch(name)) as updates:
            async for _ in updates:
                pass
    except HansaError as error:
        assert error.reason == "NOT_FOUND"


async def ready(client: Client, name: str) -> workload_pb2.Workload:
    """Waits until a workload runs."""
    async with asyncio.timeout(BOUND_S), aclosing(client.watch(name)) as updates:
        async for update in updates:
            if update.workload.state == workload_pb2.WORKLOAD_STATE_RUNNING:
                return update.workload
    raise AssertionError(f"{name} was gone before it ran")


# --- request ids ---


async def test_the_same_request_id_is_one_submission_however_often_it_comes(profile: Profile) -> None:
    async with Client(profile) as client:
        first = await client.submit("ocr", spec(), request_id="mine")
        again = await client.submit("ocr", spec(), request_id="mine")
        assert first.uid == again.uid
        assert [event.reason for event in await client.events("ocr")].count("Submitted") == 1


async def test_a_request_id_that_served_another_payload_is_refused_by_name(profile: Profile) -> None:
    async with Client(profile) as client:
        await client.submit("ocr", spec(), request_id="mine")
        with pytest.raises(HansaError) as refused:
            await client.submit("ocr", spec(replicas=2), request_id="mine")
    assert (refused.value.reason, refused.value.field, refused.value.request_id) == (
        "REQUEST_ID_REUSED",
        "request_id",
        "mine",
    )


async def test_every_refusal_carries_the_id_of_its_own_call(profile: Profile) -> None:
    ids = []
    async with Client(profile) as client:
        for _ in range(2):
            with pytest.raises(HansaError) as refused:
                await client.get("absent")
            ids.append(refused.value.request_id)
    assert all(ids) and len(set(ids)) == 2


async def test_a_defect_in_the_server_is_found_in_its_log_by_the_id_of_the_call(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Queries, "network", broken)
    async with Client(profile, clock=NoPatience()) as client:
        with pytest.raises(HansaError) as refused:
            await client.network()
    assert refused.value.reason == "INTERNAL"
    assert refused.value.request_id in refused.value.message
    assert "secret" not in refused.value.message


# --- what is tried again ---


@pytest.mark.parametrize(
    ("reason", "field"), [("NOT_FOUND", "name"), ("INVALID_FIELD", "spec.replicas"), ("PERMISSION_DENIED", "name")]
)
async def test_a_refusal_is_not_tried_again(reason: str, field: str, profile: Profile) -> None:
    async with Client(profile, clock=NoPatience()) as client:
        calls = {
            "NOT_FOUND": lambda: client.get("absent"),
            "INVALID_FIELD": lambda: client.submit("ocr", spec(replicas=0)),
            "PERMISSION_DENIED": lambda: client.get("tenants/somebody-else/workloads/ocr"),
        }
        with pytest.raises(HansaError) as refused:
            await calls[reason]()
    assert (refused.value.reason, refused.value.field) == (reason, field)


async def test_a_submit_made_while_the_operator_is_away_arrives_once_it_is_back(fleeting: OperatorThread) -> None:
    async with Client(fleeting.profile(), timeout_ms=20_000) as client:
        await client.submit("before", spec())
        await asyncio.to_thread(fleeting.stop)
        under_way = asyncio.create_task(client.submit("meanwhile", spec(), request_id="once"))
        await asyncio.to_thread(fleeting.start)
        submitted = await under_way
        assert (await client.get("meanwhile")).uid == submitted.uid
        assert [workload.name.rsplit("/", 1)[1] async for workload in client.workloads()] == ["before", "meanwhile"]
        assert [event.reason for event in await client.events("meanwhile")].count("Submitted") == 1


async def test_a_submit_repeated_after_a_restart_is_still_the_same(fleeting: OperatorThread) -> None:
    async with Client(fleeting.profile()) as client:
        first = await client.submit("ocr", spec(), request_id="once")
        await asyncio.to_thread(fleeting.stop)
        await asyncio.to_thread(fleeting.start)
        assert (await client.submit("ocr", spec(), request_id="once")).uid == first.uid
        with pytest.raises(HansaError, match="REQUEST_ID_REUSED"):
            await client.submit("ocr", spec(replicas=2), request_id="once")


async def test_what_runs_runs_on_through_a_restart_and_keeps_its_endpoint(fleeting: OperatorThread) -> None:
    async with Client(fleeting.profile()) as client:
        await client.submit("ocr", spec())
        await ready(client, "ocr")
        before = await client.find_endpoint("ocr")
        await asyncio.to_thread(fleeting.stop)
        await asyncio.to_thread(fleeting.start)
        assert await client.find_endpoint("ocr") == before


async def test_why_and_where_are_answered_as_soon_as_there_is_an_answer(profile: Profile) -> None:
    async with Client(profile) as client:
        await client.submit("ocr", spec())
        explained, found = await asyncio.gather(client.explain("ocr"), client.find_endpoint("ocr"))
        assert [choice.zone for choice in explained.decision.choices] == ["nordfjord/oslo-1"]
        assert found.zone == "nordfjord/oslo-1"
        await finished(client, "ocr")


# --- deadlines ---


async def test_an_operator_that_does_not_answer_is_given_up_at_the_deadline_and_asked_once(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def silent(self: Workloads, *what: object) -> None:
        asked.append(what)
        await asyncio.Event().wait()

    monkeypatch.setattr(Workloads, "plan", silent)
    begun = asyncio.get_running_loop().time()
    async with Client(profile, timeout_ms=400) as client:
        with pytest.raises(HansaError) as refused:
            await client.plan("ocr", spec())
        assert 0.3 < asyncio.get_running_loop().time() - begun < 5.0
        assert refused.value.reason == "UNAVAILABLE"
        assert len(asked) == 1
        assert [zone.name async for zone in client.zones()] == ["operators/nordfjord/zones/oslo-1"]


async def test_an_operator_that_is_away_is_given_up_at_the_deadline(fleeting: OperatorThread) -> None:
    profile = fleeting.profile()
    await asyncio.to_thread(fleeting.stop)
    begun = asyncio.get_running_loop().time()
    async with Client(profile, timeout_ms=700) as client:
        with pytest.raises(HansaError, match="UNAVAILABLE"):
            await client.get("ocr")
    assert asyncio.get_running_loop().time() - begun < 5.0
    await asyncio.to_thread(fleeting.start)


async def test_a_server_of_another_authority_is_never_spoken_to(home: OperatorThread, tmp_path: Path) -> None:
    path = home.write_profile("acme", name="misled")
    (path.parent / "ca.pem").write_bytes(authority_of("fjordby").cert_pem)
    async with Client(load_profile(path), timeout_ms=700) as client:
        with pytest.raises(HansaError, match="UNAVAILABLE"):
            await client.submit("ocr", spec())
    async with Client(home.profile("acme")) as client:
        assert [workload.name async for workload in client.workloads()] == []


# --- pages ---


@pytest.fixture(scope="module")
def many(home: OperatorThread) -> Profile:
    """A tenant with many workloads, none of which any zone satisfies."""
    profile = home.profile("many")
    tight = workload_pb2.LatencyBudget(percentile=95, rtt_us_max=1)

    async def submit_all() -> None:
        async with Client(profile) as client:
            names = [f"w-{number:03}" for number in range(PAGED_COUNT)]
            await asyncio.gather(*(client.submit(name, spec(latency=tight)) for name in names))

    asyncio.run(submit_all())
    return profile


@pytest.mark.parametrize("page_size", [1_000, 200, 99, 7])
async def test_every_workload_is_listed_once_and_in_order_whatever_the_page(page_size: int, many: Profile) -> None:
    async with Client(many) as client:
        names = [workload.name async for workload in client.workloads(page_size=page_size)]
    assert names == [f"tenants/many/workloads/w-{number:03}" for number in range(PAGED_COUNT)]


async def test_what_comes_and_goes_between_two_pages_doubles_nothing_and_hides_nothing(many: Profile) -> None:
    seen: list[str] = []
    async with Client(many) as client:
        async for workload in client.workloads(page_size=50):
            seen.append(workload.name.rsplit("/", 1)[1])
            if len(seen) == 60:
                await finished(client, "w-010")
                await finished(client, "w-200")
                await client.submit("w-2005", spec(latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=1)))
        late = [name for name in seen if name == "w-2005"]
        await finished(client, "w-2005")
        for name in ("w-010", "w-200"):
            await client.submit(name, spec(latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=1)))
    assert late == ["w-2005"]
    assert "w-200" not in seen and "w-010" in seen
    assert seen == sorted(seen) and len(set(seen)) == len(seen) == PAGED_COUNT


def test_the_client_for_scripts_follows_pages_too(many: Profile) -> None:
    with SyncClient(many) as client:
        assert sum(1 for _ in client.workloads()) == PAGED_COUNT


async def test_a_listing_may_be_left_in_the_middle(many: Profile) -> None:
    async with Client(many) as client:
        async with aclosing(client.workloads(page_size=10)) as listed:  # type: ignore[type-var]
            first = await anext(listed)
        assert first.name.endswith("/w-000")
        assert (await client.get("w-001")).name.endswith("/w-001")


# --- watching ---


async def test_a_watch_goes_on_after_a_restart_without_a_gap_and_without_an_echo(fleeting: OperatorThread) -> None:
    told: list[tuple[int, str]] = []
    async with Client(fleeting.profile()) as client:
        await client.submit("ocr", spec())
        await ready(client, "ocr")
        async with asyncio.timeout(BOUND_S), aclosing(client.watch("ocr")) as updates:
            told += [(event.sequence, event.reason) for event in (await anext(updates)).events]
            await asyncio.to_thread(fleeting.stop)
            await asyncio.to_thread(fleeting.start)
            await client.submit("ocr", spec(memory_mib=2_048))
            async for update in updates:
                told += [(event.sequence, event.reason) for event in update.events]
                if "SpecChanged" in dict(told).values():
                    break
        kept = [(event.sequence, event.reason) for event in await client.events("ocr")]
    assert told == kept[: len(told)]
    assert [reason for _, reason in told][:4] == ["Submitted", "Placed", "Ready", "SpecChanged"]


async def test_what_went_while_a_watch_was_cut_off_is_told_as_gone(fleeting: OperatorThread) -> None:
    async with Client(fleeting.profile()) as client, Client(fleeting.profile()) as other:
        await client.submit("ocr", spec())
        await ready(client, "ocr")
        async with asyncio.timeout(BOUND_S), aclosing(client.watch("ocr")) as updates:
            first = await anext(updates)
            await asyncio.to_thread(fleeting.stop)
            await asyncio.to_thread(fleeting.start)
            await finished(other, "ocr")
            last = [update async for update in updates][-1]
    assert last.deleted
    assert (last.workload.name, last.workload.uid) == (first.workload.name, first.workload.uid)


async def test_a_watch_begins_after_the_event_that_is_named(profile: Profile) -> None:
    async with Client(profile) as client:
        await client.submit("ocr", spec())
        await ready(client, "ocr")
        events = await client.events("ocr")
        async with aclosing(client.watch("ocr", after_sequence=events[0].sequence)) as updates:
            later = (await anext(updates)).events
        assert [event.sequence for event in later] == [event.sequence for event in events[1:]]
        await finished(client, "ocr")


async def test_two_who_watch_are_told_the_same(profile: Profile) -> None:
    async def all_of(client: Client) -> list[tuple[int, str]]:
        async with aclosing(client.watch("ocr")) as updates:
            return [(event.sequence, event.reason) async for update in updates for event in update.events]

    async with Client(profile) as client, asyncio.timeout(BOUND_S):
        await client.submit("ocr", spec())
        watching = [asyncio.create_task(all_of(client)) for _ in range(2)]
        await ready(client, "ocr")
        await finished(client, "ocr")
        one, other = await asyncio.gather(*watching)
    assert one == other
    assert one[0][1] == "Submitted"


async def test_a_watch_that_is_dropped_leaves_nothing_behind_at_the_operator(
    profile: Profile, home: OperatorThread
) -> None:
    async with Client(profile) as client:
        await client.submit("ocr", spec())
        await ready(client, "ocr")
        name = f"tenants/{profile.tenant}/workloads/ocr"
        signal = home.operator.running.application.queries.workload_signal(WorkloadId.parse(name))
        async with aclosing(client.watch("ocr")) as updates:
            await anext(updates)
            async with asyncio.timeout(BOUND_S):
                while not signal._waiters:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(BOUND_S):
            while signal._waiters:
                await asyncio.sleep(0.01)
        await finished(client, "ocr")


# --- changing ---


async def test_a_deletion_with_an_old_etag_deletes_nothing(profile: Profile) -> None:
    async with Client(profile) as client:
        first = await client.submit("ocr", spec())
        await ready(client, "ocr")
        with pytest.raises(HansaError) as refused:
            await client.delete("ocr", etag=first.etag)
        assert (refused.value.reason, refused.value.field) == ("ETAG_MISMATCH", "etag")
        newest = await client.get("ocr")
        assert newest.state == workload_pb2.WORKLOAD_STATE_RUNNING
        assert (await client.delete("ocr", etag=newest.etag)).state == workload_pb2.WORKLOAD_STATE_DELETING


async def test_what_was_deleted_may_be_submitted_anew_and_is_another(profile: Profile) -> None:
    async with Client(profile) as client:
        first = await client.submit("ocr", spec())
        await ready(client, "ocr")
        await finished(client, "ocr")
        second = await client.submit("ocr", spec())
        assert second.uid != first.uid
        await finished(client, "ocr")


# --- for scripts ---


def test_a_script_goes_the_whole_way(profile: Profile) -> None:
    with SyncClient(profile) as client:
        assert [choice.zone for choice in client.plan("ocr", spec()).decision.choices] == ["nordfjord/oslo-1"]
        submitted = client.submit("ocr", spec(), request_id="once")
        assert client.submit("ocr", spec(), request_id="once").uid == submitted.uid
        assert client.find_endpoint("ocr").zone == "nordfjord/oslo-1"
        assert client.explain("ocr", zone="nordfjord/oslo-1").current_zone == "nordfjord/oslo-1"
        assert [workload.uid for workload in client.workloads()] == [submitted.uid]
        assert [zone.name for zone in client.zones()] == ["operators/nordfjord/zones/oslo-1"]
        assert {node.name for node in client.network().nodes} == {"oslo", "bergen"}
        watch = client.watch("ocr")
        assert next(watch).events[0].reason == "Submitted"
        client.delete("ocr", etag=client.get("ocr").etag)
        assert [update.deleted for update in watch][-1]
        with pytest.raises(HansaError, match="NOT_FOUND"):
            client.get("ocr")


def test_a_script_waits_for_an_operator_that_restarts(fleeting: OperatorThread) -> None:
    with SyncClient(fleeting.profile(), timeout_ms=20_000) as client:
        client.submit("ocr", spec())
        fleeting.stop()
        fleeting.later(fleeting._start())
        assert client.get("ocr").name == "tenants/acme/workloads/ocr"


def test_a_script_may_watch_until_it_has_seen_enough_and_go_on_with_something_else(profile: Profile) -> None:
    with SyncClient(profile) as client:
        client.submit("ocr", spec())
        for update in client.watch("ocr"):
            if update.workload.state == workload_pb2.WORKLOAD_STATE_RUNNING:
                break
        assert client.delete("ocr").state == workload_pb2.WORKLOAD_STATE_DELETING
