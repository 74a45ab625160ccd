from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from deciding_world import H100, L4, LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.feasibility import FilterOutcome, filter_zone
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    Capacity,
    LatencyBudget,
    Reason,
    ServiceProfile,
    ServiceTime,
    WorkloadSpec,
)
from hansa_control.domain.queueing import Station
from hansa_control.domain.service import station_of, times_for
from hansa_control.domain.snapshot import build_snapshot
from hansa_control.domain.units import format_ms

QUICK = ServiceProfile((ServiceTime("", 5_000, 5_000, 5_000, 0),), 4)


def serving(**changes: Any) -> WorkloadSpec:
    return spec(**{"service": QUICK, "latency": LatencyBudget(95, 60_000, 5_000), **changes})


def judge(wanted: WorkloadSpec, **changes: Any) -> FilterOutcome:
    links = changes.pop("links", LINKS)
    one = zone(**changes)
    return filter_zone(wanted, build_snapshot(1, (one,), NODES, links, NOW_MS), one, NOW_MS)


def reasons(outcome: FilterOutcome) -> list[tuple[str, Reason]]:
    return [(x.result.constraint, x.reason) for x in outcome.rejections]


def test_a_zone_that_an_access_point_is_cut_off_from_is_not_refused_for_the_time_of_the_others_too() -> None:
    users = (AccessDemand("oslo", 1_000), AccessDemand("bodo", 1_000))
    assert reasons(judge(serving(access=users), links=())) == [
        ("Reachability", Reason.UNREACHABLE),
        ("LatencyBound", Reason.NOT_EVALUATED),
    ]


def test_a_request_that_may_run_no_longer_than_its_service_takes_is_refused_for_the_way() -> None:
    found, devices = judge(serving()).rejections
    assert (found.reason, found.result.constraint) == (Reason.LATENCY_EXCEEDED, "ResponseBound")
    assert (devices.reason, devices.result.measured) == (Reason.NOT_EVALUATED, "no number serves in time")
    assert found.result.measured == "p95 12.2 ms = 7.2 ms way + 0 ms wait + 5 ms service, 2 replicas on nvidia/L4"
    assert found.result.evidence == "service profile of the request, 5 requests/s"


def test_at_most_256_replicas_more_than_asked_for_are_tried() -> None:
    assert len(times_for(serving(replicas=2, replicas_max=10_000), L4).wait_us) == 257
    assert len(times_for(serving(replicas=2, replicas_max=5), L4).wait_us) == 4


def timed(model: str, time_us: int, concurrency: int = 1) -> ServiceProfile:
    return ServiceProfile((ServiceTime(model, time_us, time_us, time_us, 0),), concurrency)


def test_a_pool_without_a_service_time_is_named_with_the_models_that_have_one() -> None:
    profile = ServiceProfile((*timed("H100", 5_000).times, *timed("B200", 4_000).times))
    found = judge(serving(service=profile)).rejections[0]
    assert (found.reason, found.result.constraint) == (Reason.SERVICE_TIME_UNKNOWN, "ServiceTimeKnown")
    assert (found.result.measured, found.result.bound) == ("none for nvidia/L4", "H100, B200")


@pytest.mark.parametrize(("concurrency", "needed"), [(1, 6), (2, 3), (5, 2), (6, 1)])
def test_a_queue_that_grows_without_end_is_told_with_the_replicas_that_it_takes(concurrency: int, needed: int) -> None:
    """5 requests/s of a second each keep five servers busy, so that a sixth is needed."""
    wanted = serving(service=timed("", 1_000_000, concurrency), replicas=1, latency=LatencyBudget(95, 60_000))
    found = judge(wanted)
    if needed == 1:
        assert "QueueStability" in {x.constraint for x in found.passed}
    else:
        (unstable, _) = found.rejections
        assert (unstable.reason, unstable.result.constraint) == (Reason.UNSTABLE, "QueueStability")
        assert (unstable.result.measured, unstable.result.bound) == (
            f"needs {needed} replicas on nvidia/L4",
            "<= 1 replicas",
        )


def test_the_replicas_that_are_told_are_the_fewest_that_serve_in_time_or_the_most_that_were_tried() -> None:
    wanted = serving(service=timed("", 150_000), replicas=1, replicas_max=4, latency=LatencyBudget(95, 60_000, 200_000))
    passed = {x.constraint: x.measured for x in judge(wanted).passed}
    assert passed["ResponseBound"].endswith(", 3 replicas on nvidia/L4")
    bounds = {x.constraint: x.bound for x in judge(wanted).passed}
    assert (bounds["CpuCapacity"], bounds["GpuCapacity"]) == (">= 6000 millicores", ">= 3 (1 x 3 replicas)")
    late = judge(replace(wanted, latency=LatencyBudget(95, 60_000, 156_000))).rejections[0]
    assert late.result.measured.endswith(", 4 replicas on nvidia/L4")
    assert late.result.bound == "<= 156 ms"


def test_a_queue_that_is_only_asked_to_be_stable_says_so() -> None:
    passed = [x for x in judge(serving(latency=LatencyBudget(95, 60_000))).passed if x.constraint == "QueueStability"]
    assert [(x.bound, x.measured) for x in passed] == [
        ("stable", "p95 12.2 ms = 7.2 ms way + 0 ms wait + 5 ms service, 2 replicas on nvidia/L4")
    ]


def test_a_zone_without_accelerators_is_called_the_zone() -> None:
    passed = {
        x.constraint: x.measured for x in judge(serving(accelerator=None, latency=LatencyBudget(95, 60_000))).passed
    }
    assert passed["QueueStability"].endswith("2 replicas on the zone")


def test_a_wait_that_uses_up_what_the_way_and_the_service_leave_is_in_time_and_all_three_are_told() -> None:
    wanted = serving(service=timed("", 150_000), replicas=1, replicas_max=4, latency=LatencyBudget(95, 60_000, 900_000))
    wait = int(times_for(wanted, L4).wait_us[1])
    way = judge(wanted).latencies[0].rtt_us
    exactly = replace(wanted, latency=LatencyBudget(95, 60_000, way + wait + 150_000))
    passed = {x.constraint: x for x in judge(exactly).passed}["ResponseBound"]
    total, parts = f"p95 {format_ms(way + wait + 150_000)}", f"{format_ms(way)} way + {format_ms(wait)} wait"
    assert wait > 100_000
    assert passed.measured == f"{total} = {parts} + 150 ms service, 2 replicas on nvidia/L4"
    less = replace(wanted, latency=LatencyBudget(95, 60_000, way + wait + 150_000 - 1))
    assert ", 3 replicas on" in {x.constraint: x for x in judge(less).passed}["ResponseBound"].measured


def test_devices_that_would_serve_in_time_are_exhausted_although_slower_ones_are_free() -> None:
    profile = ServiceProfile((*timed("L4", 400_000).times, *timed("H100", 5_000).times))
    wanted = serving(service=profile, accelerator=AcceleratorNeed((), 1, 0), latency=LatencyBudget(95, 60_000, 60_000))
    slow_free, fast_free = (Capacity(64_000, 262_144, ((pool.key, 2),)) for pool in (L4, H100))
    assert reasons(judge(wanted, pools=(L4, H100), free=slow_free)) == [("GpuCapacity", Reason.GPU_EXHAUSTED)]
    assert judge(wanted, pools=(L4, H100), free=fast_free).pool == "nvidia/H100"


def test_replicas_serve_side_by_side_and_a_profile_without_concurrency_one_at_a_time() -> None:
    time = ServiceTime("", 5_000, 6_000, 7_000, 1_000)
    assert station_of(ServiceProfile((time,), 4), time, 3) == Station(5_000, 12, 1.0)
    assert station_of(ServiceProfile((time,), 0), time, 3) == Station(5_000, 3, 1.0)


def test_of_several_pools_that_serve_one_is_told() -> None:
    wanted = serving(accelerator=AcceleratorNeed((), 1, 0), latency=LatencyBudget(95, 60_000))
    told = [x.measured for x in judge(wanted, pools=(L4, H100)).passed if x.constraint == "QueueStability"]
    assert [words.endswith("2 replicas on nvidia/L4") for words in told] == [True]
