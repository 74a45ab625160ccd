"""A scenario as operators with control planes, zones with agents, and workloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_control.application.settings import Settings
from hansa_control.config import Timings
from hansa_control.domain.model import FactKind, WorkloadId
from hansa_sim.clock import VirtualClock
from hansa_sim.kernel import VirtualLoop
from hansa_sim.latency.system.bridge import platform_of, profiles_of, workloads_of
from hansa_sim.latency.world import World
from scenario_texts import TWO_APPS, world_of
from system_days import day_world

NO_BERGEN = ("countries: [NO]", "nodes: [oslo]")
CARRIER = ("network:", "network:\n  other_carrier: elsewhere")


def workloads(world: World) -> list[tuple[WorkloadId, str, dict[str, int]]]:
    return [
        (one.id, one.home, {at.access_point: at.demand_millirps for at in one.spec.access})
        for one in workloads_of(world)
    ]


# --- operators ---


def test_every_operator_is_a_partner_of_all_others(tmp_path: Path) -> None:
    partners = {profile.name: profile.partners for profile in profiles_of(world_of(tmp_path))}
    assert partners == {
        "nordavind": ("skargard", "waldnetz"),
        "skargard": ("nordavind", "waldnetz"),
        "waldnetz": ("nordavind", "skargard"),
    }


def test_operators_have_the_zones_of_the_scenario_with_its_facts(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    zones = {zone.id: zone for profile in profiles_of(world) for zone in profile.zones}
    assert set(zones) == {zone.id for zone in world.zones}
    for zone in world.zones:
        assert zones[zone.id].inventory == zone.inventory
        assert zones[zone.id].facts == zone.facts
    assert {fact.value for fact in zone.facts if fact.kind is FactKind.SITE_COUNTRY} == {"DE"}


def test_every_node_and_link_is_in_the_network_of_one_operator(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    profiles = profiles_of(world)
    nodes = [node.name for profile in profiles for node in profile.network[0]]
    links = [link.name for profile in profiles for link in profile.network[1]]
    assert sorted(nodes) == sorted(node.name for node in world.ground.nodes)
    assert sorted(links) == sorted(link.name for link in world.ground.links)
    assert {node.name for node in profiles[0].network[0]} == {"oslo", "bergen"}


def test_what_no_operator_has_is_in_the_network_of_the_app_teams_operator(tmp_path: Path) -> None:
    world = world_of(tmp_path, NO_BERGEN, CARRIER)
    assert world.ground.owners["bergen"] == "elsewhere"
    home, *others = profiles_of(world)
    assert home.name == "nordavind"
    assert "bergen" in {node.name for node in home.network[0]}
    assert all("bergen" not in {node.name for node in other.network[0]} for other in others)


def test_nodes_without_a_place_are_given_one_each(tmp_path: Path) -> None:
    profiles = profiles_of(world_of(tmp_path))
    places = [(node.latitude_deg, node.longitude_deg) for profile in profiles for node in profile.network[0]]
    assert (0.0, 0.0) not in places
    assert len(set(places)) == len(places)


# --- workloads ---


def test_left_out_each_access_point_is_a_workload(tmp_path: Path) -> None:
    assert workloads(world_of(tmp_path)) == [
        (WorkloadId("ocr", "w-0"), "nordavind", {"bergen": 50_000}),
        (WorkloadId("ocr", "w-1"), "nordavind", {"malmo": 90_000}),
        (WorkloadId("ocr", "w-2"), "nordavind", {"oslo": 60_000}),
    ]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [{"bergen": 50_000, "malmo": 90_000, "oslo": 60_000}]),
        (2, [{"bergen": 50_000}, {"malmo": 90_000, "oslo": 60_000}]),
        (4, [{"bergen": 25_000}, {"bergen": 25_000}, {"malmo": 90_000}, {"oslo": 60_000}]),
        (
            7,
            [
                *({"bergen": each} for each in (16_667, 16_667, 16_666)),
                *({"malmo": 45_000} for _ in range(2)),
                *({"oslo": 30_000} for _ in range(2)),
            ],
        ),
    ],
)
def test_users_are_split_into_as_many_workloads_as_asked_for(
    tmp_path: Path, count: int, expected: list[dict[str, int]]
) -> None:
    found = [access for _, _, access in workloads(day_world(tmp_path, run=f"system: {{workloads: {count}}}"))]
    assert found == expected


@pytest.mark.parametrize("count", [3, 64])
def test_no_user_is_lost_or_doubled_by_splitting(tmp_path: Path, count: int) -> None:
    world = day_world(tmp_path, run=f"system: {{workloads: {count}}}")
    found = workloads_of(world)
    assert len(found) == count
    total: dict[str, int] = {}
    for one in found:
        for at in one.spec.access:
            total[at.access_point] = total.get(at.access_point, 0) + at.demand_millirps
    assert total == {user.access_point: user.millirps for user in world.users}


def test_rows_of_users_are_those_of_the_access_points(tmp_path: Path) -> None:
    world = day_world(tmp_path, run="system: {workloads: 5}")
    for one in workloads_of(world):
        assert [world.users[row].access_point for row in one.points] == [at.access_point for at in one.spec.access]


def test_each_app_has_workloads_of_its_own_at_its_own_operator(tmp_path: Path) -> None:
    found = workloads(world_of(tmp_path, *TWO_APPS))
    assert [(one.tenant, home, sorted(access)) for one, home, access in found] == [
        ("asr", "skargard", ["malmo"]),
        ("asr", "skargard", ["oslo"]),
        ("ocr", "nordavind", ["bergen"]),
        ("ocr", "nordavind", ["oslo"]),
    ]


def test_an_app_has_a_workload_even_where_there_are_fewer_than_apps(tmp_path: Path) -> None:
    found = workloads_of(day_world(tmp_path, "", *TWO_APPS, run="system: {workloads: 1}"))
    assert {one.id.tenant for one in found} == {"asr", "ocr"}
    assert [one.part for one in found] == [0, 1]


def test_a_workload_asks_for_what_the_app_asks_for(tmp_path: Path) -> None:
    world = world_of(tmp_path, *TWO_APPS)
    asr, *_, ocr = workloads_of(world)
    assert asr.spec.accelerator is not None
    assert (asr.spec.accelerator.count, asr.spec.priority, asr.spec.latency.response_us_max) == (2, 10, 200_000)
    assert ocr.spec.residency == world.parts[1].spec.residency


# --- the platform ---


def test_control_planes_run_as_they_are_installed(tmp_path: Path) -> None:
    """All that is set is who they are and how often books are compared while nothing changes."""
    platform = platform_of(day_world(tmp_path), VirtualLoop())
    operator = platform.operators["skargard"]
    found, fresh = operator.tuned(operator.settings()), Settings("skargard")
    assert found.partners == {"nordavind", "waldnetz"}
    for name in ("lost_after_ms", "quiet_after_ms", "heartbeat_interval_ms", "tick_ms", "sweep_interval_ms"):
        assert getattr(found, name) == getattr(fresh, name)
    for name, value in Timings().model_dump().items():
        assert getattr(found, name, value) == value
    assert (found.failed_zone_pause_ms, found.retry_ms_max) == (fresh.failed_zone_pause_ms, fresh.retry_ms_max)


def test_the_day_is_the_scenarios(tmp_path: Path) -> None:
    world, loop = day_world(tmp_path), VirtualLoop()
    platform_of(world, loop)
    assert VirtualClock(loop).wall_ms() == world.loaded.now_ms


def test_messages_and_instances_take_as_long_as_the_scenario_says(tmp_path: Path) -> None:
    platform = platform_of(day_world(tmp_path, run="system: {message_ms: 2.5, start_s: 40}"), VirtualLoop())
    assert {platform.network.delay_us(("nordavind", "skargard")) for _ in range(20)} == {2_500}
    for zone in platform.zones.values():
        assert zone.machine.manners.ready_ms == (40_000, 40_000)
        assert zone.policy.ready_timeout_ms > 40_000
