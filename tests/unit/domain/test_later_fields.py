"""Fields that a class got later are left out of canonical bytes where they say nothing, so that digests stay."""

from __future__ import annotations

import json
from dataclasses import replace

from hansa_control.domain.canonical import canonical
from hansa_control.domain.grants import digest_of_terms, outlasts, unfounded
from hansa_control.domain.model import (
    AcceleratorPool,
    ArtefactRef,
    Capacity,
    Handler,
    Inventory,
    LatencyBudget,
    OnBehalf,
    Origin,
    ResidencyPolicy,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.seals import GrantTerms, Seal, Signed

INVENTORY = Inventory("oslo", "", Capacity(), (), (), "", 0, "file", cordoned=False)
ZONE = Zone(ZoneId("nordavind", "oslo-1"), INVENTORY, Capacity(), (), ZoneState.AVAILABLE, 1, 0)
SPEC = WorkloadSpec(ArtefactRef("a", "sha256:0"), None, 1, 1, 1, (), LatencyBudget(95, 1), ResidencyPolicy())


def test_a_zone_that_its_operator_owns_says_nothing_of_an_origin() -> None:
    assert "origin" not in json.loads(canonical(ZONE))
    origin = Origin(ZoneId("waldnetz", "berlin-1"), (Handler("nordavind"),))
    assert json.loads(canonical(replace(ZONE, origin=origin)))["origin"]["zone"] == ["waldnetz", "berlin-1"]


def test_a_pool_whose_machines_are_not_known_says_nothing_of_them() -> None:
    pool = AcceleratorPool("nvidia", "L4", 23_034, 4)
    assert "node_count_max" not in json.loads(canonical(pool))
    assert json.loads(canonical(replace(pool, node_count_max=2)))["node_count_max"] == 2


def test_who_asks_for_himself_says_nothing_of_others() -> None:
    assert "on_behalf" not in json.loads(canonical(SPEC))
    asked = replace(SPEC, on_behalf=OnBehalf("nordavind", "c1", ()))
    assert json.loads(canonical(asked))["on_behalf"]["home"] == "nordavind"


def _seal(granted_at_ms: int, lease_ms: int) -> Seal:
    terms = GrantTerms("o", "h", "x", "c", "z", "", 1, lease_ms, "", "", "", granted_at_ms)
    return Seal(terms, Signed("ES256", b"", b""))


def test_a_grant_of_an_own_zone_says_nothing_of_another_beneath() -> None:
    terms = _seal(1, 1).terms
    assert "underlying_digest" not in json.loads(canonical(terms))
    assert json.loads(canonical(replace(terms, underlying_digest="sha256:0")))["underlying_digest"] == "sha256:0"


def test_each_grant_was_signed_as_resting_on_the_next_and_the_last_on_none() -> None:
    lower, other = _seal(1, 1), _seal(1, 2)
    upper = replace(other, terms=replace(other.terms, underlying_digest=digest_of_terms(lower)))
    assert unfounded((upper, lower)) == unfounded((lower,)) == ()
    assert [len(unfounded(seals)) for seals in ((upper,), (upper, other), (other, lower), (lower, upper))] == [
        1,
        1,
        1,
        2,
    ]


def test_a_grant_may_outlast_the_one_beneath_by_what_clocks_may_differ_and_no_more() -> None:
    assert outlasts(_seal(1_000, 500), _seal(1_000, 400), 100) is None
    found = outlasts(_seal(1_000, 500), _seal(1_000, 399), 100)
    assert found is not None and found.field == "lease_ms"
