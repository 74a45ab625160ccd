"""Who gives way: as few as do, of them the lowest, never beyond a budget, and the same whatever the order."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.model import Capacity, LatencyBudget, WorkloadSpec, Zone, ZoneId
from hansa_control.domain.network import build_network
from hansa_control.domain.preempting import Candidate, preemption
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot

OSLO, BERGEN = ZoneId("nordavind", "oslo-1"), ZoneId("nordavind", "bergen-1")
CPU = 64_000


def world(*zones: Zone) -> Snapshot:
    network = build_network(1, NODES, LINKS)
    return replace(assemble_snapshot(1, zones, network, Measured.between((), zones), NOW_MS), own="nordavind")


def full(name: str = "nordavind/oslo-1", free_millis: int = 0, **changes: Any) -> Zone:
    return zone(name, free=Capacity(free_millis, 262_144), **changes)


def wants(cpu_millis: int, **changes: Any) -> WorkloadSpec:
    return spec(accelerator=None, replicas=1, cpu_millis=cpu_millis, memory_mib=1, priority=100, **changes)


def part(name: str, cpu_millis: int, priority: int = 0, **changes: Any) -> Candidate:
    plain = Candidate(f"tenants/acme/workloads/{name}", f"c-{name}", OSLO, Capacity(cpu_millis, 1), priority, 1, 1)
    return replace(plain, **changes)


def victims(wanted: WorkloadSpec, *parts: Candidate, zones: tuple[Zone, ...] = (full(),)) -> list[str]:
    found = preemption(wanted, world(*zones), parts, NOW_MS)
    return [one.claim for one in found.victims] if found else []


def test_one_that_frees_enough_alone_is_taken_before_two_lower_ones() -> None:
    low, lower, large = part("low", 1_000, 1), part("lower", 1_000), part("large", 2_000, 50)
    assert victims(wants(2_000), low, lower, large) == ["c-large"]


def test_of_as_many_the_lowest_are_taken_and_ties_go_by_name() -> None:
    parts = part("b", 2_000, 10), part("a", 2_000, 10), part("high", 2_000, 90)
    assert victims(wants(2_000), *parts) == ["c-a"]


def test_the_answer_does_not_hang_on_the_order_of_what_is_given() -> None:
    parts = [part(name, cpu, prio) for name, cpu, prio in (("a", 900, 3), ("b", 700, 3), ("c", 600, 1), ("d", 500, 2))]
    assert len({tuple(victims(wants(1_600), *order)) for order in permutations(parts)}) == 1


def test_nobody_of_the_same_or_a_higher_priority_gives_way() -> None:
    assert victims(wants(1_000), part("same", 2_000, 100), part("higher", 2_000, 101)) == []


def test_what_is_free_already_counts() -> None:
    assert victims(wants(2_000), part("a", 1_000), zones=(full(free_millis=1_000),)) == ["c-a"]


def test_nobody_gives_way_where_that_makes_too_little_room() -> None:
    assert victims(wants(5_000), part("a", 1_000), part("b", 1_000), part("c", 1_000)) == []


def test_of_many_that_are_needed_none_is_taken_too_many() -> None:
    parts = [part(name, 1_000, n) for n, name in enumerate("abcde")]
    assert victims(wants(4_000), *parts) == ["c-a", "c-b", "c-c", "c-d"]
    assert victims(wants(3_500), part("small", 500), *parts) == ["c-a", "c-small", "c-b", "c-c"]


def test_nobody_falls_below_his_budget() -> None:
    assert victims(wants(1_000), part("bound", 1_000, spare=0), part("free", 1_000, 50)) == ["c-free"]


def test_parts_of_one_workload_count_against_its_budget_together() -> None:
    first = part("twice", 1_000, replicas=1, spare=1)
    second = replace(first, claim="c-twice-2")
    assert victims(wants(2_000), first, second) == []
    assert victims(wants(2_000), first, second, part("other", 1_000, 9)) == ["c-twice", "c-other"]


def test_nobody_gives_way_for_one_that_lacks_more_than_room() -> None:
    late = wants(1_000, latency=LatencyBudget(95, 1))
    assert victims(late, part("a", 2_000), zones=(full(at="bodo"),)) == []


def test_of_two_zones_the_one_with_fewer_and_lower_victims_is_taken() -> None:
    zones = full(), full("nordavind/bergen-1")
    here = part("a", 1_000, 5), part("b", 1_000, 5)
    there = part("there", 2_000, 5, zone=BERGEN)
    assert victims(wants(2_000), *here, there, zones=zones) == ["c-there"]
    assert victims(wants(1_000), *here, there, zones=zones) == ["c-there"], "ties go by the zone's name"


def test_accelerators_are_room_too() -> None:
    needs = spec(replicas=1, cpu_millis=1, memory_mib=1, priority=1)
    gpu = Candidate("tenants/acme/workloads/gpu", "c-gpu", OSLO, Capacity(1, 1, (("nvidia/L4", 1),)), 0, 1, 1)
    assert victims(needs, gpu, part("cpu", 9_000), zones=(full(free_millis=CPU),)) == ["c-gpu"]
