"""Both clients against a control plane that really keeps what it was told, goes away, and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from control_harness import authority_of, spec
from hansa_control.application.ports import RefusalError
from hansa_control.application.queries import Queries
from hansa_control.application.workloads import Workloads
from hansa_control.domain.model import Reason
from operator_thread import OperatorThread, finished, ready

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import Profile, load_profile
from hansa.sync import SyncClient
from hansa.system import SystemClock
from hansa.v1 import workload_pb2


class NoPatience(SystemClock):
    """Time in which nobody waits: whoever wants to try again is found out."""

    async def sleep(self, duration_ms: int) -> None:
        raise AssertionError(f"wanted to wait {duration_ms} ms")


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


async def test_a_deadline_that_cuts_off_the_last_attempt_does_not_hide_why_there_were_several(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def waits(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RefusalError(Reason.UNAVAILABLE, "the store waits")
        await asyncio.Event().wait()

    monkeypatch.setattr(Workloads, "submit", waits)
    async with Client(profile, timeout_ms=2_000) as client:
        with pytest.raises(HansaError) as refused:
            await client.submit("ocr", spec())
    assert (refused.value.reason, refused.value.message) == ("UNAVAILABLE", "the store waits")
    assert asked == 2


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
