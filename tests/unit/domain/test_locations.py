from __future__ import annotations

from typing import Any

import pytest
from deciding_world import NOW_MS, fact, facts, node, zone
from hansa_control.domain.locations import (
    COARSE_KM,
    FASTEST_FIBRE_KM_PER_MS,
    PLACE_TOLERANCE_KM,
    Sighting,
    applies_to,
    check_location,
    light_us,
    sightings_of,
)
from hansa_control.domain.model import (
    FactKind,
    LatencyBasis,
    LegalRule,
    NetworkNode,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    Zone,
    ZoneId,
)
from hansa_control.domain.units import FIBRE_KM_PER_MS
from law_words import lapsed, reasons

OSLO = node("oslo", "NO", latitude_deg=59.9139, longitude_deg=10.7522)
FRANKFURT = node("frankfurt", "DE", latitude_deg=50.1109, longitude_deg=8.6821)
BODO = node("bodo", "NO", latitude_deg=67.2804, longitude_deg=14.4049)
NODES = {one.name: one for one in (OSLO, FRANKFURT, BODO)}
OURS, OURS_TOO = zone("nordavind/oslo-1", "oslo"), zone("nordavind/bodo-1", "bodo")
THEIRS, THEIRS_TOO = zone("waldnetz/fra-1", "frankfurt"), zone("waldnetz/bodo-1", "bodo")
OTHERS = zone("blueridge/oslo-1", "oslo")
ZONES = (OURS, OURS_TOO, THEIRS, THEIRS_TOO, OTHERS)


def probe(source: Zone, target: Zone, min_us: int) -> ProbeResult:
    return ProbeResult(source.id, target.id, RoundTrip(min_us, min_us, min_us, LatencyBasis.MEASURED), min_us, 0, 0)


def sightings(*probes: ProbeResult, nodes: dict[str, NetworkNode] = NODES) -> dict[ZoneId, tuple[Sighting, ...]]:
    return sightings_of("nordavind", ZONES, nodes, probes)


def refused(*probes: ProbeResult) -> set[str]:
    found = sightings(*probes)
    return {
        str(one.id)
        for one in ZONES
        if Reason.LOCATION_IMPLAUSIBLE in reasons(check_location(one, None, found.get(one.id, ()), NOW_MS))
    }


def test_light_in_fibre_bounds_a_round_trip_from_below_with_tolerances_taken_off() -> None:
    assert light_us(1_000) == 2 * (994_000 - 50_000) // 206
    assert light_us(0) == light_us(PLACE_TOLERANCE_KM) == 0
    assert light_us(1_000) < 2 * 1_000 * 1_000 / FASTEST_FIBRE_KM_PER_MS < 2 * 1_000 * 1_000 / FIBRE_KM_PER_MS


def test_the_fastest_fibre_is_faster_than_silica_and_slower_than_vacuum() -> None:
    assert 299.792458 / 1.4624 < FASTEST_FIBRE_KM_PER_MS < 299.792458


def test_a_partner_that_answers_sooner_than_light_could_is_refused_with_the_evidence() -> None:
    found = sightings(probe(OURS, THEIRS, 3_000))[THEIRS.id]
    (refusal,) = check_location(THEIRS, None, found, NOW_MS)
    assert refusal.reason is Reason.LOCATION_IMPLAUSIBLE
    assert refusal.result.constraint == "Location"
    assert refusal.result.measured == "min rtt 3 ms from nordavind/oslo-1 to waldnetz/fra-1"
    assert refusal.result.bound == ">= 10.101 ms, light in fibre over 1097 km"
    assert refusal.result.evidence == "probe of nordavind/oslo-1 to waldnetz/fra-1; the other place is ours"


def test_an_answer_at_the_bound_is_possible_and_one_below_it_is_not() -> None:
    bound_us = sightings(probe(OURS, THEIRS, 1))[THEIRS.id][0].bound_us
    assert refused(probe(OURS, THEIRS, bound_us)) == set()
    assert refused(probe(OURS, THEIRS, bound_us - 1)) == {"waldnetz/fra-1"}


@pytest.mark.parametrize(
    ("source", "target", "accused"),
    [
        (OURS, THEIRS, {"waldnetz/fra-1"}),
        (THEIRS, OURS, {"waldnetz/fra-1"}),
        (OURS, OURS_TOO, {"nordavind/oslo-1", "nordavind/bodo-1"}),
        (THEIRS, THEIRS_TOO, {"waldnetz/fra-1", "waldnetz/bodo-1"}),
        (THEIRS, OTHERS, set()),
        (OURS, OURS, set()),
    ],
    ids=["we probe a partner", "a partner probes us", "both ours", "both a partner's", "hearsay", "itself"],
)
def test_who_is_refused_depends_on_whose_zones_they_are(source: Zone, target: Zone, accused: set[str]) -> None:
    assert refused(probe(source, target, 100)) == accused


def test_of_two_zones_of_one_operator_the_evidence_says_so() -> None:
    (found,) = check_location(OURS, None, sightings(probe(OURS, OURS_TOO, 100))[OURS.id], NOW_MS)
    assert found.result.evidence.endswith("; both places are the same operator's")


def test_a_slow_answer_fits_any_place() -> None:
    (found,) = check_location(THEIRS, None, sightings(probe(OURS, THEIRS, 900_000))[THEIRS.id], NOW_MS)
    assert found.reason is None
    assert found.result.measured == "min rtt 900 ms from nordavind/oslo-1 to waldnetz/fra-1"


def test_the_fastest_answer_counts_and_an_unmeasured_one_does_not() -> None:
    assert refused(probe(OURS, THEIRS, 30_000), probe(OURS, THEIRS, 2_000)) == {"waldnetz/fra-1"}
    assert refused(probe(OURS, THEIRS, 2_000), probe(OURS, THEIRS, 30_000)) == {"waldnetz/fra-1"}
    assert sightings(probe(OURS, THEIRS, 0)) == {}


def test_every_measurement_that_refutes_is_kept() -> None:
    found = sightings(probe(OURS, THEIRS, 2_000), probe(OURS_TOO, THEIRS, 2_000), probe(THEIRS, OURS, 900_000))
    assert reasons(check_location(THEIRS, None, found[THEIRS.id], NOW_MS)) == [Reason.LOCATION_IMPLAUSIBLE] * 2


def test_the_closest_measurement_is_shown_where_none_refutes() -> None:
    found = sightings(probe(OURS_TOO, THEIRS, 25_000), probe(OURS, THEIRS, 20_000))
    (passing,) = check_location(THEIRS, None, found[THEIRS.id], NOW_MS)
    assert passing.result.measured == "min rtt 25 ms from nordavind/bodo-1 to waldnetz/fra-1"


def test_nothing_follows_where_a_place_is_not_given() -> None:
    nowhere = {**NODES, "frankfurt": node("frankfurt", "DE")}
    found = sightings(probe(OURS, THEIRS, 1), nodes=nowhere)
    assert found[THEIRS.id][0].bound_us == 0
    assert check_location(THEIRS, None, found[THEIRS.id], NOW_MS) == ()
    assert sightings(probe(OURS, THEIRS, 1), nodes={"oslo": OSLO}) == {}
    assert sightings(probe(OURS, THEIRS, 1), nodes={"frankfurt": FRANKFURT}) == {}
    assert sightings_of("nordavind", [OURS], NODES, [probe(OURS, THEIRS, 1)]) == {}


def test_a_coarse_place_still_refutes_what_no_place_in_it_could_answer() -> None:
    coarse = {**NODES, "frankfurt": node("frankfurt", "DE", latitude_deg=50.5, longitude_deg=8.5, coarse=True)}
    exact, less = (sightings(probe(OURS, THEIRS, 9_000), nodes=one)[THEIRS.id][0] for one in (NODES, coarse))
    assert exact.distance_km - 2 * COARSE_KM <= less.distance_km <= exact.distance_km
    quick = sightings(probe(OURS, THEIRS, 5_000), nodes=coarse)[THEIRS.id]
    in_germany = zone("waldnetz/fra-1", "frankfurt", facts=facts(site="DE"))
    found = check_location(in_germany, coarse["frankfurt"], quick, NOW_MS)
    assert reasons(found) == [Reason.LOCATION_IMPLAUSIBLE]


def test_a_place_that_is_disclosed_too_coarsely_is_unknown_and_refutes_nothing() -> None:
    hidden = node("frankfurt", "DE", latitude_deg=60.5, longitude_deg=11.5, coarse=True)
    found = sightings(probe(OURS, THEIRS, 2), nodes={**NODES, "frankfurt": hidden})
    in_germany = zone("waldnetz/fra-1", "frankfurt", facts=facts(site="DE"))
    country, unknown = check_location(in_germany, hidden, found[THEIRS.id], NOW_MS)
    assert (country.reason, unknown.reason) == (None, None)
    assert unknown.result.bound == "unknown: the place is disclosed coarsely"
    in_norway = zone("waldnetz/fra-1", "frankfurt", facts=facts(site="NO"))
    assert reasons(check_location(in_norway, hidden, found[THEIRS.id], NOW_MS)) == [Reason.SITE_COUNTRY_UNKNOWN]


def test_zones_of_one_city_never_refute_each_other() -> None:
    assert refused(probe(OURS, OTHERS, 1)) == set()


def test_a_site_in_another_country_than_its_node_is_in_doubt_with_both_as_evidence() -> None:
    liar = zone("waldnetz/fra-1", "frankfurt", facts=facts(site="NO"))
    (found,) = check_location(liar, FRANKFURT, (), NOW_MS)
    assert found.reason is Reason.SITE_COUNTRY_UNKNOWN
    assert found.result.measured == "site country NO"
    assert found.result.bound == "DE, the country of node frankfurt"
    assert found.result.evidence == "register by brreg (company-register), valid until 2027-01-16; node frankfurt"


@pytest.mark.parametrize(
    ("at", "claimed"),
    [
        (OSLO, facts(site="SE")),
        (OSLO, (*facts(), fact(FactKind.SITE_COUNTRY, "SE"))),
    ],
)
def test_each_claim_that_contradicts_the_node_is_in_doubt(at: NetworkNode, claimed: Any) -> None:
    assert reasons(check_location(zone(facts=claimed), at, (), NOW_MS)) == [Reason.SITE_COUNTRY_UNKNOWN]


@pytest.mark.parametrize(
    ("at", "claimed"),
    [
        (None, facts()),
        (node("x", None), facts()),
        (OSLO, ()),
        (OSLO, (lapsed(FactKind.SITE_COUNTRY, "SE"),)),
        (OSLO, (fact(FactKind.HEADQUARTERS_COUNTRY, "SE"),)),
    ],
    ids=["no node", "node's country unknown", "no fact", "lapsed", "another kind"],
)
def test_the_country_is_not_compared_where_either_side_says_nothing(at: NetworkNode | None, claimed: Any) -> None:
    assert check_location(zone(facts=claimed), at, (), NOW_MS) == ()


@pytest.mark.parametrize("claimed", [facts(), ()])
def test_no_zone_stands_at_a_node_at_sea_whatever_it_claims(claimed: Any) -> None:
    (found,) = check_location(zone(facts=claimed), node("x", None, at_sea=True), (), NOW_MS)
    assert (found.reason, found.result.measured) == (Reason.SITE_COUNTRY_UNKNOWN, "node x is at sea")


def test_a_site_in_its_nodes_country_passes_and_says_so() -> None:
    (found,) = check_location(OURS, OSLO, (), NOW_MS)
    assert (found.reason, found.result.measured) == (None, "site country NO")
    assert found.result.evidence.startswith("register by brreg")


def test_only_the_claim_that_contradicts_the_node_is_evidence_against_it() -> None:
    both = (*facts(), fact(FactKind.SITE_COUNTRY, "SE", ends_ms=NOW_MS + 9 * 86_400_000))
    (found,) = check_location(zone(facts=both), OSLO, (), NOW_MS)
    assert found.result.evidence == "register by brreg (company-register), valid until 2027-01-24; node oslo"


def test_what_fits_is_not_shown_beside_what_refutes() -> None:
    (found,) = check_location(OURS, OSLO, sightings(probe(OURS, OURS_TOO, 100))[OURS.id], NOW_MS)
    assert found.reason is Reason.LOCATION_IMPLAUSIBLE


def test_a_false_country_and_a_false_place_are_both_told() -> None:
    liar = zone("waldnetz/fra-1", "frankfurt", facts=facts(site="NO"))
    found = check_location(liar, FRANKFURT, sightings(probe(OURS, THEIRS, 100))[THEIRS.id], NOW_MS)
    assert reasons(found) == [Reason.SITE_COUNTRY_UNKNOWN, Reason.LOCATION_IMPLAUSIBLE]


def test_places_are_asked_for_by_every_rule_that_rests_on_them() -> None:
    assert not applies_to(ResidencyPolicy())
    assert applies_to(ResidencyPolicy(site=SiteRule(None, frozenset({"RU"}))))
    assert applies_to(ResidencyPolicy(legal=LegalRule(frozenset({"NO"}))))
    assert applies_to(ResidencyPolicy(transit=TransitRule(frozenset({"NO"}))))
    assert applies_to(ResidencyPolicy(predicates=("zone.country == 'NO'",)))
