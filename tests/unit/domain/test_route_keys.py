"""What a search for paths is asked: by which rule, at which percentile, from where, and how much must go through."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import spec
from hansa_control.domain.model import DataClass, ResidencyPolicy, ServiceProfile, TransitRule, WorkloadSpec
from hansa_control.domain.round_trips import route_key, transit_rule


def sending(request_bytes: int, response_bytes: int, demand_millirps: int) -> WorkloadSpec:
    wanted = spec()
    profile = replace(wanted.service or ServiceProfile(()), request_bytes=request_bytes, response_bytes=response_bytes)
    access = tuple(replace(at, demand_millirps=demand_millirps) for at in wanted.access)
    return replace(wanted, service=profile, access=access)


@pytest.mark.parametrize(
    ("request_bytes", "response_bytes", "demand_millirps", "kbps"),
    [
        (1_000_000, 1, 1_000_000, 8_000_000),
        (1, 1_000_000, 1_000_000, 8_000_000),
        (125, 0, 1_000, 1),
        (126, 0, 1_000, 2),
        (1, 0, 1, 1),
        (0, 0, 1_000, 0),
    ],
)
def test_what_a_link_must_carry_is_the_larger_way_rounded_up(
    request_bytes: int, response_bytes: int, demand_millirps: int, kbps: int
) -> None:
    wanted = sending(request_bytes, response_bytes, demand_millirps)
    assert route_key(wanted, wanted.access[0].access_point).kbps_min == kbps


def test_requests_without_a_size_ask_for_no_bandwidth() -> None:
    wanted = replace(spec(), service=None)
    assert route_key(wanted, wanted.access[0].access_point).kbps_min == 0


def test_a_transit_rule_counts_for_the_data_that_it_names_alone() -> None:
    rule = TransitRule(frozenset({"NO"}))
    wanted = replace(spec(), residency=ResidencyPolicy(transit=rule, applies_to=frozenset({DataClass.WEIGHTS})))
    assert transit_rule(wanted, DataClass.WEIGHTS) == rule
    assert transit_rule(wanted, DataClass.INPUT, DataClass.WEIGHTS) == rule
    assert transit_rule(wanted, DataClass.INPUT, DataClass.OUTPUT) is None
    assert route_key(wanted, wanted.access[0].access_point).rule is None
