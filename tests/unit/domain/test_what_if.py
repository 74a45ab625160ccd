"""What-if answers as production would act: who moves where, who waits, who gives way, who breaks a promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from deciding_world import fact, facts
from estates import BODO, GOTEBORG, HELSINKI, OSLO, ask, asks, cores, estate, outcomes, where
from hansa_control.domain.model import (
    Disruption,
    FactKind,
    OnChange,
    OnPartition,
    PartitionRule,
    Preferences,
    ResidencyPolicy,
    Selector,
    SiteRule,
    TransitRule,
    ZoneBounds,
)
from hansa_sim.what_if.changes import SuppositionError
from hansa_sim.what_if.words import as_json, breaks, lines_of

IN_NORWAY = ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=OnChange.DRAIN)
BY_NORWAY = ResidencyPolicy(transit=TransitRule(frozenset({"NO", "SE"})), on_change=OnChange.DRAIN)


def test_nothing_supposed_moves_nothing() -> None:
    found = ask(estate([OSLO, BODO, GOTEBORG], app=asks(4), other=asks(4, "bodo")))
    assert set(outcomes(found).values()) == {"STAYS"}
    assert where(found) == {"app": "nordavind/oslo-1", "other": "nordavind/bodo-1"}
    assert not found.breaks_promise
    assert found.unsettled == ()


def test_who_loses_a_zone_goes_where_production_sends_it() -> None:
    found = ask(estate([OSLO, BODO, GOTEBORG], app=asks(4)), fail=("zone:nordavind/oslo-1",))
    assert where(found) == {"app": "skargard/goteborg-1"}
    (change,) = found.changes
    assert (change.before.slowest_rtt_us, change.after.slowest_rtt_us) == (7_128, 13_128)
    assert not found.breaks_promise


def test_who_has_no_lawful_place_is_told_in_words_of_production() -> None:
    found = ask(estate([OSLO, GOTEBORG], app=asks(4, residency=IN_NORWAY)), fail=("zone:nordavind/oslo-1",))
    assert outcomes(found) == {"app": "NOWHERE"}
    (change,) = found.changes
    assert change.why == "0/2 zones feasible: 1 SiteResidency, 1 ZoneState"
    assert {str(one.zone) for one in change.rejections} == {"nordavind/oslo-1", "skargard/goteborg-1"}
    assert found.breaks_promise


def test_a_zone_that_nobody_uses_fails_and_only_the_fallback_is_lost() -> None:
    found = ask(estate([OSLO, GOTEBORG], app=asks(4)), fail=("zone:skargard/goteborg-1",))
    assert outcomes(found) == {"app": "STAYS"}
    assert found.changes[0].loses_fallback
    assert not found.breaks_promise


def test_a_cut_link_breaks_a_budget_but_moves_nobody() -> None:
    """Production keeps what runs where the law holds: a slow way is nothing that it moves for."""
    present = estate([cores(4, OSLO), HELSINKI], app=asks(4), far=asks(4, "umea", 12))
    found = ask(present, cut=("link:helsinki/umea",))
    assert outcomes(found) == {"app": "STAYS", "far": "STAYS"}
    far = found.changes[1]
    assert (far.before.slowest_rtt_us, far.after.slowest_rtt_us) == (11_128, 27_128)
    assert list(breaks(far)) == ["umea: p95 27.1 ms > 12 ms"]
    assert found.breaks_promise


def test_where_the_only_lawful_way_is_cut_the_workload_moves() -> None:
    present = estate([BODO, GOTEBORG, OSLO], app=asks(4, "umea", residency=BY_NORWAY))
    assert where(ask(present)) == {"app": "nordavind/bodo-1"}
    assert where(ask(present, cut=("link:umea--bodo",))) == {"app": "skargard/goteborg-1"}


def test_room_goes_to_priority_and_who_gives_way_is_told_for_whom() -> None:
    zones = [cores(8, OSLO), cores(8, BODO)]
    present = estate(zones, high=asks(8, priority=10), low=asks(8, "bodo", priority=-10))
    assert where(ask(present)) == {"high": "nordavind/oslo-1", "low": "nordavind/bodo-1"}
    found = ask(present, fail=("zone:nordavind/oslo-1",))
    assert where(found) == {"high": "nordavind/bodo-1", "low": ""}
    assert outcomes(found) == {"high": "MOVES", "low": "GIVES_WAY"}
    assert found.changes[1].gave_way_to == found.changes[0].workload


def test_who_may_not_be_made_to_give_way_stays() -> None:
    zones = [cores(8, OSLO), cores(8, BODO)]
    low = asks(8, "bodo", priority=-10, disruption=Disruption(preemptible=False))
    found = ask(estate(zones, high=asks(8, priority=10), low=low), fail=("zone:nordavind/oslo-1",))
    assert outcomes(found) == {"high": "NOWHERE", "low": "STAYS"}


def test_a_drained_zone_is_left_where_there_is_another_place_and_else_not() -> None:
    present = estate([OSLO, GOTEBORG], free=asks(4), bound=asks(4, residency=IN_NORWAY))
    found = ask(present, drain=("zone:nordavind/oslo-1",))
    assert where(found) == {"free": "skargard/goteborg-1", "bound": "nordavind/oslo-1"}
    assert found.changes[1].why
    assert not found.breaks_promise


def test_a_silent_partner_keeps_what_it_has_unless_it_is_to_be_replaced() -> None:
    replaced = asks(4, "goteborg", on_partition=PartitionRule(OnPartition.REPLACE))
    present = estate([OSLO, GOTEBORG], kept=asks(4, "goteborg", 10), replaced=replaced)
    found = ask(present, fail=("operator:skargard",))
    assert outcomes(found) == {"kept": "UNHEARD", "replaced": "MOVES"}
    assert found.breaks_promise


def test_several_zones_lose_one_and_another_stands_in() -> None:
    spread = replace(asks(4), replicas=2, zones=ZoneBounds(2, 2))
    present = estate([cores(4, OSLO), cores(4, GOTEBORG), cores(4, HELSINKI)], app=spread)
    before = set(where(ask(present))["app"].split(", "))
    lost = sorted(before)[0]
    found = ask(present, fail=(f"zone:{lost}",))
    after = set(where(found)["app"].split(", "))
    assert len(after) == 2
    assert lost not in after
    assert outcomes(found) == {"app": "MOVES"}


def test_a_law_that_forbids_the_zone_moves_or_strands(tmp_path: Path) -> None:
    law = tmp_path / "law.yaml"
    law.write_text("kind: Law\nnation: {data: ['NO'], on_change: drain}\n")
    found = ask(estate([GOTEBORG, OSLO], app=asks(4, "goteborg")), law=law)
    assert where(found) == {"app": "nordavind/oslo-1"}
    stranded = ask(estate([GOTEBORG], app=asks(4, "goteborg")), law=law)
    assert outcomes(stranded) == {"app": "STAYS"}
    assert stranded.changes[0].breaks_law
    assert stranded.breaks_promise


OFFER = """\
kind: Offer
operator: waldnetz
agreement: {{standing: {standing}, zones: ["kiel-*"], quotas: [{{zones: ["*"], of: all, cpu_cores: {cores}}}]}}
nodes: [{{name: kiel, lat: 54.3, lon: 10.1, country: DE, access_point: true}}]
links: [{{name: goteborg--kiel, a: goteborg, b: kiel, length_km: 400, countries: [], carrier: waldnetz,
  kind: terrestrial, rtt_ms: {{p50: 6, p95: 7, p99: 8}}}}]
zones:
  - {{zone: waldnetz/kiel-1, node: kiel, cpu_cores: 64, memory_gib: 256, artefacts: [{artefact}],
     facts: [{{kind: SITE_COUNTRY, value: DE}}]}}
"""


@pytest.mark.parametrize(
    ("standing", "quota", "expected"),
    [("in-force", 4, ["PLACED", "WAITS"]), ("in-force", 8, ["PLACED", "PLACED"]), ("suspended", 8, ["WAITS", "WAITS"])],
)
def test_an_agreement_gives_places_within_its_quota(
    standing: str, quota: int, expected: list[str], tmp_path: Path
) -> None:
    artefact = "ocr-server@sha256:" + "ab" * 32
    (tmp_path / "offer.yaml").write_text(OFFER.format(standing=standing, cores=quota, artefact=artefact))
    present = estate([cores(4, OSLO)], one=asks(4), two=asks(4), three=asks(4))
    found = ask(present, accept=(f"agreement:{tmp_path / 'offer.yaml'}",))
    assert list(outcomes(found).values()) == ["STAYS", *expected]


def test_an_ordered_preference_goes_back_to_its_first_tier() -> None:
    wish = Preferences(ordered=(Selector(operators=frozenset({"skargard"})),))
    present = estate([OSLO, GOTEBORG], app=asks(4, preferences=wish))
    assert where(ask(present)) == {"app": "skargard/goteborg-1"}
    gone = ask(present, fail=("zone:skargard/goteborg-1",))
    assert where(gone) == {"app": "nordavind/oslo-1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cut": ("oslo/goteborg",)}, "--cut: 'oslo/goteborg' is not link:NAME or cable:NAME or carrier:NAME"),
        ({"cut": ("links:oslo/goteborg",)}, "--cut: 'links' cannot be meant here; did you mean link?"),
        ({"cut": ("link:oslo/goteburg",)}, "--cut link: there is no node 'goteburg'; did you mean goteborg?"),
        ({"cut": ("link:oslo/umea",)}, "--cut link: no link joins oslo and umea; oslo has links to goteborg"),
        ({"cut": ("link:oslo--goteburg",)}, "there is no link 'oslo--goteburg'; did you mean oslo--goteborg?"),
        ({"cut": ("carrier:nordnet",)}, "--cut carrier: there is no carrier 'nordnet'; did you mean nordnett?"),
        ({"cut": ("cable:north",)}, "--cut cable: there is no cable 'north'"),
        ({"fail": ("zone:nordavind/oslo-2",)}, "there is no zone 'nordavind/oslo-2'; did you mean nordavind/oslo-1?"),
        ({"fail": ("operator:skargaard",)}, "there is no operator 'skargaard'; did you mean skargard?"),
        ({"fail": ("country:DE",)}, "--fail country: there is no country 'DE'; valid: FI, NO, SE"),
        ({"fail": ("node:olso",)}, "--fail node: there is no node 'olso'; did you mean oslo?"),
        (
            {"drain": ("zone:oslo-1",)},
            "--drain zone: there is no zone 'oslo-1'; valid: nordavind/oslo-1,",
        ),
        ({"accept": ("agreement:absent.yaml",)}, "absent.yaml: No such file"),
    ],
)
def test_what_does_not_fit_the_world_is_refused_with_the_nearest_name(
    changes: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(SuppositionError, match=r"\S") as refused:
        ask(estate([OSLO, GOTEBORG], app=asks(4)), **changes)
    assert message in str(refused.value)


def test_a_country_that_fails_takes_its_zones_and_ways() -> None:
    moved = zone_in("FI", GOTEBORG)
    found = ask(estate([OSLO, moved], app=asks(4, "goteborg", 10)), fail=("country:FI",))
    assert outcomes(found) == {"app": "NOWHERE"}
    cut_off = ask(estate([OSLO, HELSINKI], app=asks(4, "umea", residency=BY_NORWAY)), fail=("country:SE",))
    assert outcomes(cut_off) == {"app": "STAYS"}
    assert cut_off.changes[0].breaks_law


def zone_in(country: str, one: object) -> object:
    return replace(one, facts=facts(site=country))  # type: ignore[type-var]


def test_the_answer_is_told_in_words_and_as_data() -> None:
    found = ask(estate([OSLO, GOTEBORG], app=asks(4, residency=IN_NORWAY)), fail=("zone:nordavind/oslo-1",))
    told = list(lines_of(found))
    assert told[0] == "what if: fail zone:nordavind/oslo-1"
    assert told[1] == "1 workload: 1 has no lawful place"
    assert told[-1] == "promises are broken: see BREAKS"
    data = as_json(found)
    assert data["counts"]["nowhere"] == 1
    assert data["workloads"][0]["after"]["zones"] == []
    assert data["workloads"][0]["rejections"][0]["reason"] == "ZONE_LOST"


def test_a_fact_that_is_claimed_otherwise_counts_for_the_country_that_fails() -> None:
    claimed = replace(GOTEBORG, facts=(fact(FactKind.SITE_COUNTRY, "NO"),))
    found = ask(estate([claimed], app=asks(4, "goteborg")), fail=("country:NO",))
    assert outcomes(found) == {"app": "NOWHERE"}
