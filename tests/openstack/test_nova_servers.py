"""Instances as servers of a real Nova, through the agent's own supervisor."""

from __future__ import annotations

from hansa_agent.openstack_running import RunningServer
from hansa_agent.ports import StartRefused
from server_bench import Bench, desired

from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED, INSTANCE_STATE_READY


async def test_instance_boots_holds_its_share_and_leaves_nothing(bench: Bench) -> None:
    before = await bench.source.read()
    async with bench.supervised() as agent:
        agent.order(desired(gpus={"nvidia/L40S": 1}))
        await agent.ready()
        assert bench.held("PGPU") == 1
        during = await bench.source.read()
        agent.order()
        await agent.nothing_left()
    await bench.until(lambda: bench.held("PGPU") == 0 and bench.held("VCPU") == 0)
    assert (bench.servers(), dict(bench.store.records)) == ([], {})
    assert during.pools == before.pools, "what the zone's own instances use is the operator's to subtract"
    assert before.capacity.cpu_millis - during.capacity.cpu_millis == 500, "half a CPU more than was ordered is lost"


async def test_every_way_to_accelerators_boots_on_its_own_flavor(bench: Bench) -> None:
    wanted = {"c1-0": "nvidia/L40S", "c2-0": "nvidia/A100", "c3-0": "nvidia/H100"}
    async with bench.supervised() as agent:
        agent.order(*(desired(name, gpus={pool: 1}) for name, pool in wanted.items()))
        for name in wanted:
            await agent.ready(name)
    flavors = {one["metadata"]["hansa-instance"]: one["flavor"]["original_name"] for one in bench.servers()}
    assert flavors == {"c1-0": "g1.l40s", "c2-0": "g1.a100", "c3-0": "g1.h100"}
    assert (bench.held("PGPU"), bench.held("CUSTOM_GPU_A100_40G"), bench.held("CUSTOM_PCI_GPU_H100")) == (1, 1, 1)


async def test_server_bears_what_it_is_traced_by(bench: Bench) -> None:
    running = await bench.runtime.start(desired())
    (server,) = bench.servers()
    assert isinstance(running, RunningServer) and server["id"] == running.uuid
    assert server["metadata"]["hansa-zone"] == "waldnetz/ber-1"
    assert server["metadata"]["hansa-claim"] == "c1"
    assert server["metadata"]["hansa-fencing-token"] == "7"
    assert server["tags"][0].startswith("hansa-")
    assert bench.store.records["c1-0"].handle == server["id"]


async def test_start_twice_makes_one_server_also_over_a_restart_of_the_agent(bench: Bench) -> None:
    first = await bench.runtime.start(desired())
    again = await bench.runtime.start(desired())
    bench.store.remove("c1-0")
    bench.reopen()
    after = await bench.runtime.start(desired())
    assert isinstance(first, RunningServer) and isinstance(again, RunningServer) and isinstance(after, RunningServer)
    assert first.uuid == again.uuid == after.uuid
    assert len(bench.servers()) == 1


async def test_changed_order_replaces_the_server_and_an_older_token_gives_way(bench: Bench) -> None:
    first = await bench.runtime.start(desired(fencing_token=7))
    second = await bench.runtime.start(desired(fencing_token=8, client_ids=["spiffe://waldnetz/app/other"]))
    assert isinstance(first, RunningServer) and isinstance(second, RunningServer) and first.uuid != second.uuid
    assert [one["id"] for one in bench.servers()] == [second.uuid]
    refused = await bench.start(desired(fencing_token=7))
    assert isinstance(refused, StartRefused) and refused.permanent
    assert "fencing token 8, not 7" in refused.message


async def test_instance_is_adopted_ready_by_the_next_agent_process(bench: Bench) -> None:
    async with bench.supervised() as agent:
        agent.order(desired())
        await agent.ready()
    uuid = bench.store.records["c1-0"].handle
    bench.reopen()
    async with bench.supervised() as agent:
        status = agent.status()
        assert status is not None and status.state == INSTANCE_STATE_READY
        assert [one["id"] for one in bench.servers()] == [uuid]


async def test_more_than_there_is_is_refused_in_the_platforms_words(bench: Bench) -> None:
    wanted = [desired(f"c{number}-0", gpus={"nvidia/L40S": 1}) for number in range(5)]
    async with bench.supervised(quick_failures_max=2) as agent:
        # One after the others: of five in the same instant Placement 16 may grant all (docs/agents-openstack.md).
        agent.order(*wanted[:4])
        for one in wanted[:4]:
            await agent.ready(one.instance)
        agent.order(*wanted)
        await agent.until(lambda status: status.state == INSTANCE_STATE_FAILED, wanted[4].instance)
        (failed,) = [one for one in agent.supervisor.statuses().values() if one.state == INSTANCE_STATE_FAILED]
        assert "No valid host was found" in failed.message
    assert bench.held("PGPU") == 4
    assert len(bench.servers()) == 4, "the one that failed is deleted"


async def test_flavor_that_nobody_has_is_refused_for_good_with_the_nearest(bench: Bench) -> None:
    refused = await bench.start(desired(limits={"cpu_millis": 64_000, "memory_mib": 256}))
    assert isinstance(refused, StartRefused) and refused.permanent
    assert "the largest, SCS-2V-4, has 2 CPUs and 4096 MiB" in refused.message


async def test_server_deleted_behind_the_agent_is_made_anew(bench: Bench) -> None:
    async with bench.supervised() as agent:
        agent.order(desired())
        await agent.ready()
        (server,) = bench.servers()
        bench.cloud.ask("DELETE", "compute", f"/servers/{server['id']}")
        await agent.until(lambda status: status.restarts == 1)
        await agent.ready()
    (fresh,) = bench.servers()
    assert fresh["id"] != server["id"]
