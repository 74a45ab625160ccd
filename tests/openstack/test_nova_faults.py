"""A bad network and a bad day of the cloud, before a real Nova: no second server, no server left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faulty_http import CUT, DELAYED, LATE, LOST, TORN, FaultyHttp
from hansa_agent import openstack_leftovers
from hansa_agent.openstack_running import RunningServer
from hansa_agent.ports import StartRefused
from openstack_cloud import Cloud
from server_bench import Bench, desired

from hansa.v1.instance_pb2 import INSTANCE_STATE_READY


@pytest.fixture
async def faulty(full_cloud: Cloud) -> AsyncIterator[FaultyHttp]:
    async with FaultyHttp(f"http://127.0.0.1:{full_cloud.ports['nova']}") as proxy:
        yield proxy


@pytest.fixture
async def bench(full_cloud: Cloud, tmp_path: Path, faulty: FaultyHttp) -> AsyncIterator[Bench]:
    made = Bench(full_cloud, tmp_path)
    made.cloud_changes = {"compute_endpoint_override": f"{faulty.url}/v2.1"}
    made.reopen()
    yield made
    await asyncio.to_thread(made.clear)


def posts(faulty: FaultyHttp) -> int:
    return faulty.passed.count(("POST", "/v2.1/servers"))


@pytest.mark.parametrize("fault", [CUT, LOST, TORN, 500, 503, 429, 413])
async def test_fault_at_the_creation_makes_one_server(bench: Bench, faulty: FaultyHttp, fault: str | int) -> None:
    faulty.fail(fault, "POST", "/v2.1/servers", retry_after_s=1)
    running = await bench.runtime.start(desired())
    assert faulty.hit == [fault]
    servers = bench.servers()
    assert isinstance(running, RunningServer) and [one["id"] for one in servers] == [running.uuid]
    assert posts(faulty) == 1, "what was done is found and not done again"


@pytest.mark.parametrize(
    ("path", "fault"),
    [("/servers/detail", CUT), ("/servers/detail", 429), ("/flavors/detail", TORN), ("/flavors/detail", 503)],
)
async def test_fault_at_a_look_up_is_got_over(bench: Bench, faulty: FaultyHttp, path: str, fault: str | int) -> None:
    faulty.fail(fault, "GET", path, times=2)
    running = await bench.runtime.start(desired())
    assert isinstance(running, RunningServer) and len(bench.servers()) == 1
    assert faulty.hit == [fault, fault]


async def test_agent_that_dies_before_the_answer_finds_the_server_again(bench: Bench, faulty: FaultyHttp) -> None:
    faulty.fail(LATE, "POST", "/v2.1/servers")
    starting = asyncio.create_task(bench.runtime.start(desired()))
    await bench.until(bench.servers)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert bench.store.records["c1-0"].handle == ""
    bench.reopen()
    running = await bench.runtime.start(desired())
    (server,) = bench.servers()
    assert isinstance(running, RunningServer) and running.uuid == server["id"]


async def test_request_carried_out_long_after_it_was_lost_leaves_one_server(
    bench: Bench, faulty: FaultyHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack_leftovers, "GRACE_MS", 0)
    faulty.fail(DELAYED, "POST", "/v2.1/servers")
    async with bench.supervised() as agent:
        agent.order(desired())
        await agent.ready()
        kept = bench.store.records["c1-0"].handle
        await bench.until(lambda: len(bench.servers()) == 2)
        await bench.runtime.view.refresh()
        await bench.runtime.housekeep()
        await bench.until(lambda: [one["id"] for one in bench.servers()] == [kept])
        status = agent.status()
        assert status is not None and status.state == INSTANCE_STATE_READY and status.restarts == 0


async def test_deletion_whose_answer_is_lost_is_told_again_until_nothing_is_left(
    bench: Bench, faulty: FaultyHttp
) -> None:
    async with bench.supervised(stop_grace_ms=1_000) as agent:
        agent.order(desired())
        await agent.ready()
        faulty.fail(503, "POST", "/action")
        faulty.fail(CUT, "DELETE", "/v2.1/servers", times=2)
        faulty.fail(LOST, "DELETE", "/v2.1/servers")
        agent.order()
        await agent.nothing_left()
    await bench.until(lambda: not bench.servers())
    assert faulty.hit[:3] == [503, CUT, CUT]


async def test_cut_off_nothing_ends_and_nothing_is_taken_back(bench: Bench, faulty: FaultyHttp) -> None:
    async with bench.supervised() as agent:
        agent.order(desired())
        await agent.ready()
        faulty.fail(CUT, times=-1)
        machine = await bench.source.read()
        assert machine.unsound and "compute" in machine.trouble
        await bench.until(lambda: bench.runtime.view.trouble)
        status = agent.status()
        assert status is not None and status.state == INSTANCE_STATE_READY, "silence is not an end"
        faulty.heal()
        await bench.until(lambda: not bench.runtime.view.trouble)
        assert not (await bench.source.read()).unsound
    assert len(bench.servers()) == 1


async def test_start_before_a_cloud_that_stays_silent_is_refused_for_now(
    bench: Bench, faulty: FaultyHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hansa_agent.runtime_openstack.START_PATIENCE_S", 2.0)
    faulty.fail(503, times=-1, retry_after_s=1)
    refused = await bench.start(desired())
    assert isinstance(refused, StartRefused) and not refused.permanent
    assert "503" in refused.message
    assert not bench.servers()


async def test_quota_is_a_refusal_in_the_clouds_words_that_may_pass(bench: Bench, faulty: FaultyHttp) -> None:
    cloud = bench.cloud
    project = cloud.ask("GET", "identity", f"{cloud.auth['auth_url']}/projects?name=edge")["projects"][0]["id"]
    cloud.ask("PUT", "compute", f"/os-quota-sets/{project}", {"quota_set": {"instances": 0}})
    try:
        refused = await bench.start(desired())
        assert isinstance(refused, StartRefused) and not refused.permanent
        assert "403" in refused.message and "Quota exceeded" in refused.message
    finally:
        cloud.ask("DELETE", "compute", f"/os-quota-sets/{project}")
