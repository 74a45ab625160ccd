"""The demonstration's world decides as it is told: by production code, in memory, on exactly what is prepared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import Decision, FactKind, LatencyBasis, LinkKind, Reason, ZoneId, ZoneState
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Snapshot
from hansa_demo.prepare import Prepared
from hansa_demo.scenario import HOME, OPERATORS, TENANT, gate_spec, yard_spec
from hansa_demo.story import REFUSED_BY
from hansa_sim.topology import load_topology
from prepared_world import NOW_MS, network_of, places, snapshot_of, spec_of

OSLO, GOTEBORG, STOCKHOLM = (
    ZoneId.parse(f"{z}") for z in ("nordavind/oslo-1", "skargard/goteborg-1", "skargard/stockholm-1")
)
HAMBURG, BERLIN = ZoneId("waldnetz", "hamburg-1"), ZoneId("waldnetz", "berlin-1")
FRANKFURT = ZoneId("blueridge", "frankfurt-1")


@pytest.fixture(scope="module")
def world(prepared: Prepared) -> Snapshot:
    return snapshot_of(prepared, NOW_MS)


def asked(prepared: Prepared, name: str, *exclude: ZoneId) -> PlacementRequest:
    return PlacementRequest(spec_of(prepared.directory / f"{name}.yaml"), HOME, frozenset(exclude))


@pytest.fixture(scope="module")
def yard(prepared: Prepared, world: Snapshot) -> Decision:
    return decide(asked(prepared, "yard-ocr"), world, NOW_MS)


@pytest.fixture(scope="module")
def gate(prepared: Prepared, world: Snapshot) -> Decision:
    return decide(asked(prepared, "gate-ocr"), world, NOW_MS)


def failing(decision: Decision, zone: ZoneId) -> dict[str, str]:
    """What a zone fails, and what was measured there; what was not evaluated is left out."""
    return {
        rejection.result.constraint: rejection.result.measured
        for rejection in decision.rejections
        if rejection.zone == zone and rejection.reason is not Reason.NOT_EVALUATED
    }


def without(world: Snapshot, *lost: ZoneId) -> Snapshot:
    zones = [replace(zone, state=ZoneState.LOST) if zone.id in lost else zone for zone in world.zones]
    return world.with_zones(2, zones, NOW_MS)


# --- the cast ---


def test_operators_are_invented_and_their_names_stand_for_themselves() -> None:
    assert [op.name for op in OPERATORS] == ["nordavind", "skargard", "waldnetz", "blueridge"]
    real = {
        "telenor",
        "telia",
        "elisa",
        "tele2",
        "telekom",
        "orange",
        "telefonica",
        "vodafone",
        "tim",
        "kpn",
        "swisscom",
    }
    words = {word for op in OPERATORS for word in (op.name, *op.title.casefold().split())}
    assert not words & real


def test_there_is_one_operator_each_of_norway_sweden_germany_and_one_with_a_parent_in_america() -> None:
    assert [(op.headquarters_country, op.ultimate_parent_country) for op in OPERATORS] == [
        ("NO", "NO"),
        ("SE", "SE"),
        ("DE", "DE"),
        ("DE", "US"),
    ]
    foreign = [op.name for op in OPERATORS if op.extraterritorial_law != "none"]
    assert foreign == ["blueridge"]


def test_ten_zones_have_accelerators_of_every_kind_and_one_has_none() -> None:
    kinds = {pool.model for _, zone in places() for pool in zone.pools}
    assert len(list(places())) == 10
    assert kinds == {"L4", "L40S", "H100"}
    assert [zone.name for _, zone in places() if any(pool.mig_profile for pool in zone.pools)] == ["goteborg-1"]
    assert [zone.name for _, zone in places() if not zone.pools] == ["berlin-1"]


def test_every_zone_stands_at_a_node_of_the_real_backbone_or_a_named_fibre_away() -> None:
    backbone = {node.name for node in load_topology().nodes}
    for operator, zone in places():
        rooms = {room.name: room.to_node for room in operator.presence}
        assert rooms.get(zone.node, zone.node) in backbone


def test_the_network_joins_up_without_a_link_that_leads_nowhere(prepared: Prepared, world: Snapshot) -> None:
    assert world.network.dangling == ()
    assert len(world.links) == sum(len(network_of(prepared, op.name)[1]) for op in OPERATORS) > 100
    assert any(link.kind is LinkKind.SEA_CABLE for link in world.links)
    assert {link.rtt.basis for link in world.links} == {LatencyBasis.MODELLED}


def test_workloads_are_made_from_the_digest_alone() -> None:
    for spec in (yard_spec("sha256:" + "0" * 64), gate_spec("sha256:" + "0" * 64)):
        assert spec["artefact"] == {"name": "ocr-server", "digest": "sha256:" + "0" * 64}
    assert TENANT not in str(yard_spec(""))


# --- the first workload ---


@pytest.mark.parametrize("what", sorted(REFUSED_BY))
def test_a_zone_is_refused_by_each_of_five_constraints(what: str, yard: Decision) -> None:
    zone, constraint = REFUSED_BY[what]
    assert constraint in failing(yard, ZoneId.parse(zone))


@pytest.mark.parametrize(
    ("what", "reason", "measured"),
    [
        ("site country", Reason.SITE_COUNTRY_DENIED, "DE"),
        ("legal control", Reason.LEGAL_CONTROL_DENIED, "US"),
        ("transit path", Reason.TRANSIT_DENIED, "FI"),
        ("latency", Reason.LATENCY_EXCEEDED, "ms"),
        ("accelerator memory", Reason.GPU_MEMORY_TOO_SMALL, "23034 MiB"),
    ],
)
def test_each_refusal_has_its_reason_its_figure_its_bound_and_its_evidence(
    what: str, reason: Reason, measured: str, yard: Decision
) -> None:
    zone, constraint = REFUSED_BY[what]
    found = [r for r in yard.rejections if str(r.zone) == zone and r.result.constraint == constraint]
    assert {r.reason for r in found} == {reason}
    assert any(measured in r.result.measured for r in found)
    assert all(r.result.bound and r.result.evidence for r in found)


def test_each_of_the_five_zones_would_do_but_for_what_it_is_shown_for(yard: Decision) -> None:
    assert set(failing(yard, ZoneId("blueridge", "stockholm-2"))) == {"LegalControl"}
    assert set(failing(yard, ZoneId("skargard", "umea-1"))) == {"LatencyBound"}
    assert set(failing(yard, ZoneId("nordavind", "bergen-1"))) == {"GpuMemory"}
    assert set(failing(yard, ZoneId("nordavind", "breivika-1"))) == {"TransitResidency"}


def test_oslo_is_chosen_and_stockholm_is_the_only_lawful_fallback(yard: Decision) -> None:
    assert [choice.zone for choice in yard.choices] == [OSLO, STOCKHOLM]
    assert yard.zones_evaluated == 10


def test_no_path_that_is_chosen_leaves_norway_and_sweden(yard: Decision) -> None:
    for choice in yard.choices:
        assert {country for latency in choice.latencies for country in latency.countries} <= {"NO", "SE"}
        assert [latency.access_point for latency in choice.latencies] == ["oslo", "goteborg"]
        assert max(latency.rtt_us for latency in choice.latencies) <= 24_000


def test_a_slice_of_the_right_card_is_too_small_too(yard: Decision) -> None:
    assert "9856 MiB" in failing(yard, GOTEBORG)["GpuMemory"]


def test_when_oslo_dies_stockholm_takes_over_and_then_nobody_may(prepared: Prepared, world: Snapshot) -> None:
    request = asked(prepared, "yard-ocr")
    after_one = decide(request, without(world, OSLO), NOW_MS)
    assert [choice.zone for choice in after_one.choices] == [STOCKHOLM]
    assert "ZoneState" in failing(after_one, OSLO)
    after_two = decide(request, without(world, OSLO, STOCKHOLM), NOW_MS)
    assert after_two.choices == ()
    assert {rejection.zone for rejection in after_two.rejections} == {zone.id for zone in world.zones}


def test_the_nearest_fix_is_one_that_works(prepared: Prepared, world: Snapshot, yard: Decision) -> None:
    assert yard.nearest_fix
    zone = ZoneId.parse(yard.nearest_fix.rpartition("-> ")[2])
    request = asked(prepared, "yard-ocr")
    assert "latency budget" in yard.nearest_fix
    slower = replace(request.spec.latency, rtt_us_max=100_000)
    relaxed = decide(replace(request, spec=replace(request.spec, latency=slower)), world, NOW_MS)
    assert zone in {choice.zone for choice in relaxed.choices}


@pytest.mark.parametrize("kind", [FactKind.SITE_COUNTRY, FactKind.ULTIMATE_PARENT_COUNTRY])
def test_a_fact_that_nobody_claims_any_more_rejects_the_zone(
    kind: FactKind, prepared: Prepared, world: Snapshot
) -> None:
    zones = [replace(z, facts=tuple(f for f in z.facts if f.kind is not kind)) for z in world.zones if z.id == OSLO]
    decision = decide(asked(prepared, "yard-ocr"), world.with_zones(2, zones, NOW_MS), NOW_MS)
    assert decision.choices == ()


def test_a_year_later_no_declaration_counts_any_more(prepared: Prepared, world: Snapshot) -> None:
    decision = decide(asked(prepared, "yard-ocr"), world, NOW_MS + 366 * 86_400_000)
    assert decision.choices == ()
    assert Reason.FACT_EXPIRED in {rejection.reason for rejection in decision.rejections}


# --- the second workload ---


def test_the_gate_goes_to_a_partner_as_home_has_no_zone_in_germany(gate: Decision) -> None:
    assert gate.choices
    assert {choice.zone.operator for choice in gate.choices} == {"waldnetz"}
    assert {choice.zone for choice in gate.choices} == {HAMBURG, BERLIN}


def test_frankfurt_is_refused_for_its_control_alone(gate: Decision) -> None:
    assert set(failing(gate, FRANKFURT)) == {"LegalControl"}


def test_the_gate_has_somewhere_to_go_when_its_first_zone_is_given_up(
    prepared: Prepared, world: Snapshot, gate: Decision
) -> None:
    first = gate.choices[0].zone
    after = decide(asked(prepared, "gate-ocr"), without(world, first), NOW_MS)
    assert [choice.zone for choice in after.choices] == [zone for zone in (HAMBURG, BERLIN) if zone != first]


def test_decisions_are_the_same_each_time_they_are_made(prepared: Prepared) -> None:
    decisions = [
        decide(asked(prepared, name), snapshot_of(prepared, NOW_MS), NOW_MS) for name in ("yard-ocr", "gate-ocr")
    ]
    again = [decide(asked(prepared, name), snapshot_of(prepared, NOW_MS), NOW_MS) for name in ("yard-ocr", "gate-ocr")]
    assert decisions == again
