"""Listing page by page and watching through restarts, against a control plane that really keeps what it was told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from control_harness import spec
from hansa_control.domain.model import WorkloadId
from operator_thread import WAIT_S, OperatorThread, finished, ready

from hansa.client import Client
from hansa.profile import Profile
from hansa.sync import SyncClient
from hansa.v1 import workload_pb2

PAGED_COUNT = 250


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
        async with asyncio.timeout(WAIT_S), aclosing(client.watch("ocr")) as updates:
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
        async with asyncio.timeout(WAIT_S), aclosing(client.watch("ocr")) as updates:
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

    async with Client(profile) as client, asyncio.timeout(WAIT_S):
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
            async with asyncio.timeout(WAIT_S):
                while not signal._waiters:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(WAIT_S):
            while signal._waiters:
                await asyncio.sleep(0.01)
        await finished(client, "ocr")
