"""What agents probe bounds the model from below, and proves nothing more."""

from __future__ import annotations

import pytest
from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.feasibility import filter_zone, filter_zones
from hansa_control.domain.model import LatencyBasis, ProbeResult, Reason, RoundTrip, Zone, ZoneId
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
