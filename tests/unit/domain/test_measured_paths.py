"""What agents probe bounds the model from below, and proves nothing more."""

from __future__ import annotations

import pytest
from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.feasibility import filter_zone, filter_zones, judge_zones
from hansa_control.domain.model import AccessDemand, LatencyBasis, ProbeResult, Reason, RoundTrip, Zone, ZoneId
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot, build_network

NETWORK = build_network(1, NODES, LINKS)
NEAR = zone("nordavind/near")
FAR = zone("nordavind/far")


def probe(source: Zone, target: Zone, rtt_us: tuple[int, int, int], sample_count: int) -> ProbeResult:
    rtt = RoundTrip(*rtt_us, LatencyBasis.MEASURED, sample_count, NOW_MS)
    return ProbeResult(source.id, target.id, rtt, rtt_us[0], 0, 0)


def world(*probes: ProbeResult) -> Snapshot:
    return assemble_snapshot(1, (NEAR, FAR), NETWORK, Measured.between(probes, (NEAR, FAR)), NOW_MS)


def rtt_us(snapshot: Snapshot) -> int:
    (found,) = filter_zone(spec(), snapshot, FAR, NOW_MS).latencies
    return found.rtt_us


@pytest.mark.parametrize("reverse", [False, True])
def test_a_slow_probe_makes_the_path_slower_in_either_direction(reverse: bool) -> None:
    ends = (FAR, NEAR) if reverse else (NEAR, FAR)
    slow = world(probe(*ends, (300_000, 400_000, 500_000), 240))
    (found,) = filter_zone(spec(), slow, FAR, NOW_MS).latencies
    assert found.rtt_us == 400_000
    assert "measured" in found.bases
    reasons = {rejection.reason for rejection in filter_zone(spec(), slow, FAR, NOW_MS).rejections}
    assert reasons == {Reason.LATENCY_EXCEEDED}


def test_a_fast_probe_changes_nothing() -> None:
    assert rtt_us(world(probe(NEAR, FAR, (10, 20, 30), 240))) == rtt_us(world())


def test_a_tail_with_too_few_probes_beyond_it_counts_as_its_median() -> None:
    assert rtt_us(world(probe(NEAR, FAR, (300_000, 900_000, 900_000), 20))) == 300_000


def test_a_probe_of_a_zone_that_is_not_seen_bounds_nothing() -> None:
    stranger = zone("nordavind/stranger")
    assert rtt_us(world(probe(stranger, FAR, (300_000, 400_000, 500_000), 240))) == rtt_us(world())


def test_a_new_probe_is_seen_by_a_decision_that_was_made_before() -> None:
    before = filter_zones(spec(), world(), (FAR,), NOW_MS)
    slow = world(probe(NEAR, FAR, (300_000, 400_000, 500_000), 240))
    after = filter_zones(spec(), slow, (FAR,), NOW_MS)
    assert before[0].rejections == ()
    assert after[0].rejections != ()
    assert after[0] == filter_zone(spec(), slow, FAR, NOW_MS)


def test_zones_elsewhere_are_no_measure_of_an_access_point() -> None:
    elsewhere = zone("nordavind/elsewhere", at="stockholm")
    probes = (probe(elsewhere, FAR, (300_000, 400_000, 500_000), 240),)
    snapshot = assemble_snapshot(1, (elsewhere, FAR), NETWORK, Measured.between(probes, (elsewhere, FAR)), NOW_MS)
    (found,) = filter_zone(spec(), snapshot, FAR, NOW_MS).latencies
    assert found.rtt_us == rtt_us(world())
    assert snapshot.zone(ZoneId(elsewhere.id.operator, "elsewhere")) is elsewhere


def test_the_round_trips_of_a_path_are_those_of_its_links_or_what_was_measured_of_its_ends() -> None:
    wanted = spec(access=(AccessDemand("oslo", 1), AccessDemand("umea", 3)))
    modelled = judge_zones(wanted, world(), NOW_MS).reach
    assert modelled.rtts_along(0, 1) == {50: 5_400, 95: 7_128, 99: 7_560}
    assert modelled.rtts_along(1, 0) == {50: 13_800, 95: 21_128, 99: 28_560}
    measured = judge_zones(wanted, world(probe(NEAR, FAR, (9_000, 8_000, 8_500), 2_000)), NOW_MS).reach
    assert measured.rtts_along(0, 1) == {50: 9_000, 95: 8_000, 99: 8_500}
    assert measured.rtts_along(1, 0) == {50: 13_800, 95: 21_128, 99: 28_560}


def test_a_path_that_is_not_there_has_no_round_trips() -> None:
    reach = judge_zones(spec(access=(AccessDemand("atlantis", 1),)), world(), NOW_MS).reach
    with pytest.raises(ValueError, match="no path from atlantis to nordavind/far"):
        reach.rtts_along(0, 0)


def test_of_several_access_points_the_slowest_is_the_one_that_is_told() -> None:
    wanted = spec(access=(AccessDemand("oslo", 9), AccessDemand("umea", 1), AccessDemand("goteborg", 1)))
    told = [x for x in judge_zones(wanted, world(), NOW_MS).passed(0) if x.constraint == "LatencyBound"]
    assert [(x.measured, x.evidence) for x in told] == [
        ("p95 21.2 ms from umea", "path umea > helsinki > goteborg > oslo, modelled")
    ]
