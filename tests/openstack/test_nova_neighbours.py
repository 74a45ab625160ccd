"""What is not the agent's stays as it is, what it may not do it does without, and instances are kept apart."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_settings import READER_ROLE
from hansa_agent import openstack_leftovers
from hansa_agent.openstack_marks import metadata_of, zone_tag
from hansa_agent.openstack_running import RunningServer
from hansa_agent.ports import Machine
from hansa_agent.strays import Strays
from server_bench import ZONE, Bench, desired

from hansa.v1.common_pb2 import Capacity

MACHINE = Machine(Capacity(cpu_millis=1_000, memory_mib=1_000), (), "openstack")


def stranger(bench: Bench, name: str, **changes: Any) -> str:
    """A server that somebody else made in the agent's project, with the agent's own rights."""
    cloud = bench.cloud
    image = cloud.ask("GET", "image", "/v2/images?name=tiny")["images"][0]["id"]
    flavor = next(one for one in cloud.ask("GET", "compute", "/flavors")["flavors"] if one["name"] == "SCS-1V-0.5")
    body = {"name": name, "imageRef": image, "flavorRef": flavor["id"], "networks": "none", **changes}
    answer = bench.api._ask("POST", "compute", "/servers", {"server": body})
    assert answer.ok, answer.words
    return str(answer.body["server"]["id"])


async def test_server_of_the_zone_without_a_record_is_deleted_and_strangers_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = metadata_of(ZONE, desired("c9-0"))
    left = stranger(bench, "hansa-c9-0", metadata=marks, tags=[zone_tag(ZONE)])
    others = {
        stranger(bench, "hansa-c9-0-not-ours"),
        stranger(bench, "tagged", tags=[zone_tag(ZONE)]),
        stranger(bench, "other-zone", metadata=metadata_of("waldnetz/ber-2", desired()), tags=[zone_tag(ZONE)]),
    }
    told: list[Machine] = []
    bench.runtime.leftovers.strays = strays = Strays(lambda: told.append(strays.less(MACHINE)))
    await bench.runtime.view.refresh()
    assert [one.capacity for one in told] == [Capacity(cpu_millis=500, memory_mib=744)], (
        "it is no room while it is there"
    )
    await bench.runtime.housekeep()
    assert left in {one["id"] for one in bench.servers()}, "not before the grace has passed"
    monkeypatch.setattr(openstack_leftovers, "GRACE_MS", 0)
    await bench.runtime.housekeep()
    await bench.until(lambda: {one["id"] for one in bench.servers()} == others)
    await bench.runtime.view.refresh()
    assert [one.capacity for one in told[1:]] == [MACHINE.capacity]


async def test_second_server_of_an_instance_is_no_room_and_the_first_is(bench: Bench) -> None:
    told: list[Machine] = []
    bench.runtime.leftovers.strays = strays = Strays(lambda: told.append(strays.less(MACHINE)))
    await bench.runtime.start(desired())
    assert told == []
    stranger(bench, "hansa-c1-0-again", metadata=metadata_of(ZONE, desired()), tags=[zone_tag(ZONE)])
    await bench.runtime.view.refresh()
    bench.store.set_handle("c1-0", "")
    await bench.runtime.view.refresh()
    assert [one.capacity for one in told] == [Capacity(cpu_millis=500, memory_mib=744)], "whichever of the two it is"


async def test_instances_of_a_claim_are_kept_apart_by_a_group_that_goes_with_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack_leftovers, "GROUPS_EVERY_MS", 0)
    bench.options = {"anti_affinity": "hard"}
    bench.reopen()
    async with bench.supervised(quick_failures_max=1) as agent:
        agent.order(desired("c1-0"))
        await agent.ready("c1-0")
        agent.order(desired("c1-0"), desired("c1-1"), desired("c2-0"))
        await agent.ready("c2-0")
        failed = await agent.until(lambda status: "No valid host" in status.message, "c1-1")
        assert failed.claim == "c1", "the only host has one of the claim already"
        groups = (await bench.api.get("compute", "/os-server-groups"))["server_groups"]
        assert len(groups) == 2 and {one["policy"] for one in groups} == {"anti-affinity"}
        agent.order()
        await agent.nothing_left()
    await bench.runtime.housekeep()
    assert (await bench.api.get("compute", "/os-server-groups"))["server_groups"] == []


async def test_application_credential_with_two_roles_is_enough_for_everything(bench: Bench) -> None:
    withdraw = bench.credential("member", READER_ROLE)
    machine = await bench.source.read()
    assert machine.capacity.cpu_millis and machine.pools and not machine.unsound
    running = await bench.runtime.start(desired())
    assert isinstance(running, RunningServer)
    withdraw()
    await bench.until(lambda: bench.api._ask("GET", "compute", f"/servers/{running.uuid}", None).status == 401)
    refused = await bench.source.read()
    assert refused.unsound and refused.capacity == machine.capacity, "what was known last stays, and nothing new comes"
    assert "401" in refused.trouble
    bench.password()
