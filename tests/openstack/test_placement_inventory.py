"""What the agent reads of a real Placement, as the user that the documentation describes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hansa_agent.accelerator_kinds import kind_of
from hansa_agent.openstack_api import CloudRefused, OpenStackApi, Pace
from hansa_agent.placement_reading import PlacementReader
from hansa_agent.placement_truth import Ordered, Truth, truth_of
from hansa_agent.system import SystemClock
from openstack_cloud import Cloud
from placement_model import MODELS, POOLS, RandomPlacement


@pytest.fixture
def api(empty_placement: Cloud, tmp_path: Path) -> Iterator[OpenStackApi]:
    made = OpenStackApi(empty_placement.clouds_file(tmp_path / "clouds.yaml"), "edge", timeout_s=20.0)
    yield made
    made.close()


def reader(api: OpenStackApi, *aggregates: str) -> PlacementReader:
    return PlacementReader(api, Pace(SystemClock(), 1_000), aggregates)


async def truth(placement: PlacementReader, ours: dict[str, Ordered] | None = None) -> Truth:
    return truth_of(await placement.read(), ours or {}, kind_of, cpu_class="VCPU", closed=())


def counts(found: Truth) -> dict[tuple[str, str], int]:
    return {(pool.model, pool.mig_profile): pool.count for pool in found.pools}


async def test_reserved_and_ratio_and_what_others_hold_go_from_the_inventory(
    empty_placement: Cloud, api: OpenStackApi
) -> None:
    host = empty_placement.provider()
    empty_placement.stock(
        host,
        VCPU={"total": 16, "reserved": 2, "allocation_ratio": 1.5},
        MEMORY_MB={"total": 65_536, "reserved": 4_096},
    )
    empty_placement.hold(str(uuid.uuid4()), {host: {"VCPU": 3, "MEMORY_MB": 1_000}})
    found = await truth(reader(api))
    assert (found.cpu_millis, found.memory_mib) == (21_000 - 3_000, 61_440 - 1_000)


async def test_accelerators_below_a_host_and_on_it_are_pools_by_kind(empty_placement: Cloud, api: OpenStackApi) -> None:
    host = empty_placement.provider()
    below = empty_placement.provider(host)
    empty_placement.stock(host, CUSTOM_GPU_A100_40G={"total": 8, "reserved": 1}, CUSTOM_PCI_10DE_2330={"total": 2})
    empty_placement.stock(below, PGPU={"total": 4}, VGPU={"total": 16})
    empty_placement.traits(below, "HW_GPU_API_VULKAN", "CUSTOM_GPU_NVIDIA_L40S")
    found = await truth(reader(api))
    assert counts(found) == {("A100", ""): 7, ("H100", ""): 2, ("L40S", ""): 4}
    assert found.unknown == ("VGPU",)


async def test_what_the_zones_own_servers_were_ordered_with_stays_and_what_they_are_larger_goes(
    empty_placement: Cloud, api: OpenStackApi
) -> None:
    host, server = empty_placement.provider(), str(uuid.uuid4())
    empty_placement.stock(host, VCPU={"total": 16}, MEMORY_MB={"total": 65_536}, CUSTOM_GPU_L4={"total": 4})
    empty_placement.hold(server, {host: {"VCPU": 4, "MEMORY_MB": 8_192, "CUSTOM_GPU_L4": 2}})
    found = await truth(reader(api), {server: Ordered(2_500, 8_000, {"nvidia/L4": 1})})
    assert (found.cpu_millis, found.memory_mib) == (16_000 - 1_500, 65_536 - 192)
    assert counts(found) == {("L4", ""): 3}


async def test_most_that_one_host_has_is_told(empty_placement: Cloud, api: OpenStackApi) -> None:
    hosts = [empty_placement.provider(), empty_placement.provider()]
    below = empty_placement.provider(hosts[0])
    empty_placement.stock(hosts[0], CUSTOM_GPU_L4={"total": 2})
    empty_placement.stock(below, CUSTOM_GPU_L4={"total": 1})
    empty_placement.stock(hosts[1], CUSTOM_GPU_L4={"total": 4})
    empty_placement.hold(str(uuid.uuid4()), {hosts[1]: {"CUSTOM_GPU_L4": 2}})
    (pool,) = (await truth(reader(api))).pools
    assert (pool.count, pool.node_count_max) == (5, 3)


async def test_only_what_is_below_the_zones_aggregates_counts(empty_placement: Cloud, api: OpenStackApi) -> None:
    inside, outside, aggregate = empty_placement.provider(), empty_placement.provider(), str(uuid.uuid4())
    below = empty_placement.provider(inside)
    empty_placement.stock(inside, VCPU={"total": 8})
    empty_placement.stock(below, CUSTOM_GPU_L4={"total": 1})
    empty_placement.stock(outside, VCPU={"total": 32})
    body = {"aggregates": [aggregate], "resource_provider_generation": empty_placement.generation(inside)}
    empty_placement.ask("PUT", "placement", f"/resource_providers/{inside}/aggregates", body)
    found = await truth(reader(api, aggregate))
    assert (found.cpu_millis, counts(found)) == (8_000, {("L4", ""): 1})


async def test_disabled_host_counts_with_what_the_zone_has_there(empty_placement: Cloud, api: OpenStackApi) -> None:
    host, server = empty_placement.provider(), str(uuid.uuid4())
    empty_placement.stock(host, VCPU={"total": 16})
    empty_placement.hold(server, {host: {"VCPU": 2}})
    empty_placement.traits(host, "COMPUTE_STATUS_DISABLED")
    assert (await truth(reader(api))).cpu_millis == 0
    assert (await truth(reader(api), {server: Ordered(2_000)})).cpu_millis == 2_000


async def test_deletion_of_allocations_is_seen_though_no_generation_changes(
    empty_placement: Cloud, api: OpenStackApi
) -> None:
    host, consumer, placement = empty_placement.provider(), str(uuid.uuid4()), reader(api)
    empty_placement.stock(host, VCPU={"total": 16})
    empty_placement.hold(consumer, {host: {"VCPU": 2}})
    assert (await truth(placement)).cpu_millis == 14_000
    before = empty_placement.generation(host)
    empty_placement.release(consumer)
    assert empty_placement.generation(host) == before
    assert (await truth(placement)).cpu_millis == 16_000


async def test_token_that_was_withdrawn_is_renewed_unseen(empty_placement: Cloud, api: OpenStackApi) -> None:
    await api.get("placement", "/resource_providers")
    token = api._session.get_token()
    api._session.delete(f"{empty_placement.auth['auth_url']}/auth/tokens", headers={"X-Subject-Token": token})
    async with asyncio.timeout(30):
        while api._session.get_token() == token:
            assert (await api.call("GET", "placement", "/resource_providers")).ok
            await asyncio.sleep(0.2)


async def test_wrong_password_is_a_refusal_in_keystones_words(empty_placement: Cloud, tmp_path: Path) -> None:
    path = empty_placement.clouds_file(tmp_path / "wrong.yaml")
    path.write_text(path.read_text().replace("password: secret", "password: wrong"))
    api = OpenStackApi(path, "edge", timeout_s=20.0)
    with pytest.raises(CloudRefused, match=r"401.*requires authentication"):
        await api.get("placement", "/resource_providers")
    api.close()


async def test_what_the_role_may_not_read_is_a_refusal(empty_placement: Cloud, api: OpenStackApi) -> None:
    with pytest.raises(CloudRefused, match="403"):
        await api.get("placement", "/usages?project_id=nobody")


@pytest.mark.slow
async def test_inventory_is_placements_truth_through_a_thousand_random_changes(
    empty_placement: Cloud, api: OpenStackApi
) -> None:
    world, placement = RandomPlacement(empty_placement, seed=20_261), reader(api)
    for number in range(1_000):
        await asyncio.to_thread(world.change)
        if number % 50 == 49:
            found = await truth(placement, {consumer: ordered(amounts) for consumer, amounts in world.ours.items()})
            seen = {"VCPU": found.cpu_millis, "MEMORY_MB": found.memory_mib}
            counted = {pool.model: pool.count for pool in found.pools}
            seen |= {name: counted.get(model, 0) for name, model in MODELS.items()}
            assert seen == world.truth(), f"after change {number + 1}"
    assert min(world.done.values()) >= 4 and len(world.done) == 6, world.done


def ordered(amounts: dict[str, int]) -> Ordered:
    devices = {POOLS[name]: count for name, count in amounts.items() if name in POOLS}
    return Ordered(amounts.get("VCPU", 0), amounts.get("MEMORY_MB", 0), devices)
