"""The engine decides what the documents say, on random worlds; python tests/oracle/long_run.py compares for longer."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_compare import disagreements, smallest
from oracle_worlds import random_world
from oracle_zones import expected


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 40))
def test_every_verdict_reason_path_score_and_order_is_that_of_the_oracle(seed: int) -> None:
    world = random_world(seed)
    found = disagreements(world)
    if found:
        small = smallest(world, lambda other: bool(disagreements(other)))
        raise AssertionError(f"{world.note}: {found}; smallest: {disagreements(small)} in {small}")


def test_the_worlds_meet_every_reason_and_enough_feasible_zones() -> None:
    met: Counter[str] = Counter()
    for seed in range(400):
        for verdict in expected(random_world(seed)).values():
            met.update({reason.value for _, reason in verdict.faults} or {"feasible"})
    assert met["feasible"] > 100
    wanted = {
        "SITE_COUNTRY_DENIED",
        "LEGAL_CONTROL_DENIED",
        "FACT_EXPIRED",
        "TRANSIT_DENIED",
        "TRANSIT_UNKNOWN",
        "UNREACHABLE",
        "LATENCY_EXCEEDED",
        "BANDWIDTH_EXCEEDED",
        "LOCATION_IMPLAUSIBLE",
        "PERSONNEL_DENIED",
        "PERSONNEL_UNKNOWN",
        "ATTESTATION_MISSING",
        "CERTIFICATION_MISSING",
        "ENERGY_DENIED",
        "ENERGY_UNKNOWN",
        "PREDICATE_FALSE",
        "PREDICATE_FAILED",
        "PRICE_EXCEEDED",
        "UNSTABLE",
        "SERVICE_TIME_UNKNOWN",
        "GPU_EXHAUSTED",
        "GPU_MEMORY_TOO_SMALL",
        "TENANT_REFUSED",
        "TENANT_UNKNOWN",
        "DATA_REFUSED",
        "TIME_REFUSED",
    }
    assert wanted <= met.keys()
