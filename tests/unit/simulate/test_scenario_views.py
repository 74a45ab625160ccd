"""What users may use in a scenario is what the production filters say, whatever the scenario is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hansa_control.domain.feasibility import filter_zone
from hansa_control.domain.model import Reason, ZoneBounds
from hansa_sim.latency.views import ViewName, view_of
from scenario_texts import ROUND_TRIPS, world_of

NOT_THE_LAW = {Reason.LATENCY_EXCEEDED, Reason.NOT_EVALUATED, Reason.GPU_EXHAUSTED, Reason.UNSTABLE}


def test_a_user_may_use_exactly_the_zones_that_the_production_filters_allow_it(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    view = view_of(world, ViewName.TOGETHER)
    for row, access in enumerate(world.spec.access):
        alone = replace(world.spec, access=(access,), zones=ZoneBounds(), replicas=1, service=None)
        for column, zone in enumerate(world.zones):
            found = filter_zone(alone, world.snapshot, zone, world.loaded.now_ms)
            unlawful = {rejection.reason for rejection in found.rejections} - NOT_THE_LAW
            assert bool(view.lawful[row, column]) is not bool(unlawful), (access, zone.id, unlawful)


def test_the_law_closes_a_zone_and_opens_it_again_without_residency(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    hamburg = [str(zone.id) for zone in world.zones].index("waldnetz/hamburg-1")
    assert not view_of(world, ViewName.TOGETHER).lawful[:, hamburg].any()
    assert view_of(world, ViewName.LAWLESS).lawful[:, hamburg].all()


def test_round_trips_are_those_of_the_table_and_what_every_way_costs(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    view = view_of(world, ViewName.LAWLESS)
    zones = [str(zone.id) for zone in world.zones]
    users = [user.access_point for user in world.users]
    ms = {
        ("oslo", "nordavind/oslo-1"): 5.4,
        ("bergen", "skargard/stockholm-1"): 7 + 8 + 5.4,
        ("malmo", "waldnetz/hamburg-1"): 6 + 5.4,
        ("oslo", "waldnetz/hamburg-1"): 20 + 5.4,
    }
    for (user, zone), expected in ms.items():
        assert view.rtt_ns[users.index(user), zones.index(zone)] == round(expected * 1e6)
    assert np.array_equal(view.there_ns + view.back_ns, view.rtt_ns)


def test_an_operator_alone_serves_its_own_users_over_its_own_network(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    alone = view_of(world, ViewName.ALONE)
    for row, user in enumerate(world.users):
        owners = {zone.id.operator for zone, may in zip(world.zones, alone.lawful[row], strict=True) if may}
        assert owners == {user.operator}


def test_a_zone_of_another_operator_next_door_is_not_there_for_one_alone(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("        node: stockholm\n", "        node: oslo\n"))
    users = [user.access_point for user in world.users]
    neighbour = [str(zone.id) for zone in world.zones].index("skargard/stockholm-1")
    assert view_of(world, ViewName.TOGETHER).lawful[users.index("oslo"), neighbour]
    assert not view_of(world, ViewName.ALONE).lawful[users.index("oslo"), neighbour]


def test_headquarters_and_parents_abroad_close_a_zone_at_home(tmp_path: Path) -> None:
    own = "legal: {headquarters: SE, ultimate_parents: [SE], laws: [none]}"
    for other in (own.replace("headquarters: SE", "headquarters: US"), own.replace("[SE]", "[SE, US]")):
        world = world_of(tmp_path, (own, other))
        stockholm = [str(zone.id) for zone in world.zones].index("skargard/stockholm-1")
        assert not view_of(world, ViewName.TOGETHER).lawful[:, stockholm].any()


def test_a_rule_on_personnel_asks_for_facts_of_personnel(tmp_path: Path) -> None:
    law = ("transit: [NO, SE]}", "transit: [NO, SE], personnel: {allow: [NO], clearances: [hemmelig]}}")
    both = "[{kind: OPERATION_COUNTRY, value: NO}, {kind: SUPPORT_COUNTRY, value: NO}"
    facts = f"carbon_gco2_per_kwh: 30\n        facts: {both}, {{kind: PERSONNEL_CLEARANCE, value: hemmelig}}]"
    declared = view_of(world_of(tmp_path, law, ("carbon_gco2_per_kwh: 30", facts)), ViewName.TOGETHER)
    silent = view_of(world_of(tmp_path, law), ViewName.TOGETHER)
    assert declared.lawful.any(axis=0).tolist() == [True, False, False]
    assert not silent.lawful.any()


def test_users_who_cannot_be_served_are_a_result_with_its_reason(tmp_path: Path) -> None:
    change = (
        "- {access_point: oslo,",
        "- {access_point: reef, requests_per_s: 5}\n"
        "  - {access_point: hamburg, requests_per_s: 5}\n  - {access_point: oslo,",
    )
    world = world_of(tmp_path, change)
    view = view_of(world, ViewName.TOGETHER)
    users = [user.access_point for user in world.users]
    assert view.why_not[users.index("reef")] == "unreachable: no way in the network leads to any zone"
    assert view.why_not[users.index("hamburg")] == "no lawful path to any zone"
    assert set(view.why_not) == {users.index("reef"), users.index("hamburg")}


def test_a_law_that_no_operator_meets_leaves_no_zone_and_says_why(tmp_path: Path) -> None:
    law = "{data: [FI], control: [NO, SE], transit: [NO, SE, DE, DK]}"
    world = world_of(tmp_path, ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", law))
    view = view_of(world, ViewName.TOGETHER)
    assert not view.lawful.any()
    assert view.why_not[0] == "no zone may serve: SITE_COUNTRY_DENIED in 3 of 3 zones"


def test_what_an_operator_does_not_declare_is_unknown_and_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("legal: {headquarters: SE, ultimate_parents: [SE], laws: [none]}", "legal: {}"))
    stockholm = [str(zone.id) for zone in world.zones].index("skargard/stockholm-1")
    assert not view_of(world, ViewName.TOGETHER).lawful[:, stockholm].any()


def test_a_way_whose_countries_nobody_tells_is_not_taken(tmp_path: Path) -> None:
    trips = ROUND_TRIPS.replace("oslo,bergen,7,-,nordavind", "oslo,bergen,7,unknown,nordavind")
    world = world_of(tmp_path, trips=trips)
    view = view_of(world, ViewName.TOGETHER)
    bergen = [user.access_point for user in world.users].index("bergen")
    assert view.why_not[bergen] == "no lawful path to any zone"
