"""Every reason of every zone: each once, in the order of zones and filters, also where there is nothing to compare."""

from __future__ import annotations

from itertools import combinations

import pytest
from deciding_world import L4, LINKS, NODES, NOW_MS, facts, spec, zone
from hansa_control.domain.feasibility import judge_zones
from hansa_control.domain.model import (
    Capacity,
    LatencyBudget,
    LegalRule,
    Reason,
    ResidencyPolicy,
    ServiceProfile,
    ServiceTime,
    SiteRule,
    TransitRule,
    Zone,
    ZoneState,
)
from hansa_control.domain.snapshot import build_snapshot

NORDIC = frozenset({"NO", "SE"})
STRICT = ResidencyPolicy(SiteRule(NORDIC), LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"})), TransitRule(NORDIC))
FULL = Capacity(0, 0, ((L4.key, 0),))
LOST = zone("skargard/a", state=ZoneState.LOST, free=FULL)
FOREIGN = zone("nordavind/b", facts=facts(parent="US"))
FAR = zone("waldnetz/c", at="helsinki", free=FULL)
UNKNOWN = zone("blueridge/d", facts=(), inventory={"node": "atlantis", "artefacts": ()})


@pytest.mark.parametrize("zones", list(combinations((LOST, FOREIGN, FAR, UNKNOWN, zone("nordavind/e")), 3)))
def test_every_reason_of_every_zone_is_told_once_by_zone_and_in_the_order_of_the_filters(
    zones: tuple[Zone, ...],
) -> None:
    wanted = spec(residency=STRICT, latency=LatencyBudget(95, 20_000))
    verdicts = judge_zones(wanted, build_snapshot(1, zones, NODES, LINKS, NOW_MS), NOW_MS)
    told = verdicts.rejections()
    assert told == tuple(found for row in range(len(zones)) for found in verdicts.rejections_of(row))
    assert len(set(told)) == len(told) > 0


def test_where_no_zone_has_an_accelerator_those_who_need_one_are_told_so_and_how_long_it_takes_is_no_matter() -> None:
    bare = zone(free=Capacity(64_000, 65_536, ()), inventory={"pools": ()})
    slow = ServiceProfile((ServiceTime("", 900_000, 900_000, 900_000, 0),), 1)
    wanted = spec(service=slow, replicas_max=9, latency=LatencyBudget(95, 60_000, 2_000_000))
    verdicts = judge_zones(wanted, build_snapshot(1, (bare,), NODES, LINKS, NOW_MS), NOW_MS)
    assert Reason.GPU_MODEL_MISSING in {found.reason for found in verdicts.rejections()}
    assert (verdicts.pool(0), verdicts.failing.tolist()) == ("", [True])
