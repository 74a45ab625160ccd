"""What the law must refuse, at an operator that runs: each case that somebody will try, or that will simply happen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hansa_control.application.lawbook import LawBook, LawDesk, PresetUnknown
from hansa_control.domain.model import (
    ClaimState,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    LatencyBasis,
    LegalRule,
    LinkKind,
    NetworkLink,
    NetworkNode,
    OnChange,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from home_operator import HOME, OWNER, HandClock, offered_zone, spec
from home_stage import OTHER, Stage, home_stage

NORDIC = frozenset({"NO", "SE"})
FOR_EVER_MS = 4_000_000_000_000
ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"


@dataclass
class Laws:
    """A law source that a test changes by hand."""

    on_the_books: LawBook = field(default_factory=LawBook)
    presets: dict[str, ResidencyPolicy] = field(default_factory=dict)
    edition: int = 0

    def version(self, now_ms: int) -> int:
        return self.edition

    def book(self, now_ms: int) -> LawBook:
        return self.on_the_books

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        if preset not in self.presets:
            raise PresetUnknown(preset)
        return self.presets[preset]


def fact(kind: FactKind, value: str, until_ms: int = FOR_EVER_MS) -> Fact:
    return Fact(kind, value, Evidence(EvidenceKind.REGISTER, "register", "company-register", 1, until_ms, ""))


def facts(site: str = "NO", headquarters: str = "NO", parent: str = "NO") -> tuple[Fact, ...]:
    return (
        fact(FactKind.SITE_COUNTRY, site),
        fact(FactKind.HEADQUARTERS_COUNTRY, headquarters),
        fact(FactKind.ULTIMATE_PARENT_COUNTRY, parent),
    )


def asked(policy: ResidencyPolicy) -> WorkloadSpec:
    return replace(spec(), residency=policy)


def reasons(stage: Stage, zone: str) -> set[Reason]:
    return {found.reason for found in stage.decision.rejections if str(found.zone) == zone}


async def running(policy: ResidencyPolicy, spare: bool = True) -> Stage:
    """A workload that answers in a partner's zone, and perhaps another partner's zone that would do as well."""
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", facts=facts())
    await stage.submit(asked(policy))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.placed == [f"{ZONE} READY"]
    if spare:
        await stage.offer(OTHER, "oslo-5", facts=facts())
    return stage


async def test_headquarters_that_move_away_under_a_running_workload_move_it() -> None:
    stage = await running(ResidencyPolicy(legal=LegalRule(NORDIC)))
    await stage.offer(OWNER, "oslo-9", facts=facts(headquarters="US"))
    await stage.look(times=2)
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]
    assert "headquarters US" in stage.event("PolicyBroken")


async def test_a_certificate_that_runs_out_under_a_running_workload_strands_it_where_nothing_else_is_lawful() -> None:
    stage = await running(ResidencyPolicy(legal=LegalRule(NORDIC)), spare=False)
    lapsed = HandClock().wall_ms() - 1
    await stage.offer(OWNER, "oslo-9", facts=(*facts()[:2], fact(FactKind.ULTIMATE_PARENT_COUNTRY, "NO", lapsed)))
    await stage.look(times=2)
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.conditions()["Lawful"] == "FALSE"
    assert stage.conditions()["Stranded"] == "TRUE"
    assert "not valid now" in stage.event("PolicyBroken")


async def test_an_adequacy_decision_that_is_withdrawn_ends_what_rested_on_it() -> None:
    stage = await home_stage()
    laws = Laws(presets={"adequate": ResidencyPolicy(site=SiteRule(NORDIC), on_change=OnChange.TERMINATE)})
    desk = LawDesk(laws, stage.clock)
    stage.plane.decider.laws = desk
    await stage.offer(OWNER, "oslo-9", facts=facts())
    await stage.submit(asked(ResidencyPolicy(presets=("adequate",))))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    laws.presets["adequate"] = replace(laws.presets["adequate"], site=SiteRule(frozenset({"SE"})))
    laws.edition += 1
    await stage.look()
    assert stage.placed == []
    assert stage.owners[OWNER].released != []


async def test_an_allowed_country_is_no_way_through_a_denied_one() -> None:
    stage = await home_stage()
    nodes = (
        NetworkNode("helsinki", "Helsinki", "FI", 60.2, 24.9, access_point=False),
        NetworkNode("tromso", "Tromso", "NO", 69.6, 18.9, access_point=False),
    )
    rtt = RoundTrip(9_000, 9_000, 9_000, LatencyBasis.MODELLED)
    for node in nodes:
        assert await stage.offered(OWNER, f"nodes/{node.name}", node) == ()
    for a, b in (("oslo", "helsinki"), ("helsinki", "tromso")):
        link = NetworkLink(f"{a}--{b}", a, b, 0, rtt, (), OWNER, LinkKind.TERRESTRIAL)
        assert await stage.offered(OWNER, f"links/{link.name}", link) == ()
    await stage.offer(OWNER, "tromso-1", node="tromso", facts=facts())
    await stage.submit(asked(ResidencyPolicy(site=SiteRule(NORDIC), transit=TransitRule(NORDIC))))
    await stage.look()
    assert stage.placed == []
    assert Reason.TRANSIT_DENIED in reasons(stage, f"{OWNER}/tromso-1")


async def test_a_way_of_which_the_countries_are_not_known_is_no_way() -> None:
    stage = await home_stage()
    node = NetworkNode("tromso", "Tromso", "NO", 69.6, 18.9, access_point=False)
    rtt = RoundTrip(9_000, 9_000, 9_000, LatencyBasis.MODELLED)
    link = NetworkLink("oslo--tromso", "oslo", "tromso", 0, rtt, None, OWNER, LinkKind.TERRESTRIAL)
    assert await stage.offered(OWNER, "nodes/tromso", node) == ()
    assert await stage.offered(OWNER, "links/oslo--tromso", link) == ()
    await stage.offer(OWNER, "tromso-1", node="tromso", facts=facts())
    await stage.submit(asked(ResidencyPolicy(transit=TransitRule(NORDIC))))
    await stage.look()
    assert stage.placed == []
    assert Reason.TRANSIT_UNKNOWN in reasons(stage, f"{OWNER}/tromso-1")


async def test_a_partner_that_claims_another_country_than_that_of_its_node_is_in_doubt() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", facts=facts(site="SE"))
    await stage.submit(asked(ResidencyPolicy(site=SiteRule(NORDIC))))
    await stage.look()
    assert stage.placed == []
    assert reasons(stage, ZONE) == {Reason.SITE_COUNTRY_UNKNOWN}


async def test_a_partner_whose_zone_answers_from_nearer_than_it_claims_is_refused() -> None:
    stage = await home_stage()
    far = NetworkNode("tromso", "Tromso", "NO", 69.6, 18.9, access_point=False)
    rtt = RoundTrip(9_000, 9_000, 9_000, LatencyBasis.MODELLED)
    link = NetworkLink("oslo--tromso", "oslo", "tromso", 0, rtt, (), OWNER, LinkKind.TERRESTRIAL)
    assert await stage.offered(OWNER, "nodes/tromso", far) == ()
    assert await stage.offered(OWNER, "links/oslo--tromso", link) == ()
    await stage.own_zone("oslo-1", cordoned=True)
    await stage.offer(OWNER, "tromso-1", node="tromso", facts=facts())
    stage.plane.world.advertised("oslo-1", "probes/x", probe_of("oslo-1", ZoneId(OWNER, "tromso-1"), min_us=900))
    await stage.submit(asked(ResidencyPolicy(site=SiteRule(NORDIC))))
    await stage.look()
    assert stage.placed == []
    assert reasons(stage, f"{OWNER}/tromso-1") == {Reason.LOCATION_IMPLAUSIBLE}


def probe_of(source: str, target: ZoneId, min_us: int) -> ProbeResult:
    rtt = RoundTrip(min_us, min_us, min_us, LatencyBasis.MEASURED, 1_000)
    return ProbeResult(ZoneId(HOME, source), target, rtt, min_us, 1, 0)


@pytest.mark.parametrize(
    ("said_by", "zone"),
    [
        (OWNER, ZoneId(OTHER, "oslo-9")),  # re-offered: the zone of a third operator
        (OWNER, ZoneId(HOME, "oslo-9")),  # the home operator's own
        (OWNER, ZoneId("bigcloud", "oslo-9")),  # injected: nobody federates with its owner
    ],
)
async def test_nobody_offers_the_zone_of_another(said_by: str, zone: ZoneId) -> None:
    stage = await home_stage()
    body: Zone = replace(offered_zone(), id=zone, facts=facts())
    refused = await stage.offered(said_by, f"zones/{zone.zone}", body)
    assert [where for _, where, _ in refused] == ["zone.name"]
    assert stage.plane.world.snapshot().zones == ()


async def test_two_partners_may_have_a_zone_of_one_name_and_each_is_judged_by_its_own_facts() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", facts=facts(parent="US"))
    await stage.offer(OTHER, "oslo-9", facts=facts())
    await stage.submit(asked(ResidencyPolicy(legal=LegalRule(NORDIC))))
    await stage.look()
    assert stage.placed == [f"{OTHER}/oslo-9 STARTING"]
    assert reasons(stage, ZONE) == {Reason.LEGAL_CONTROL_DENIED}


async def test_a_public_cloud_in_the_right_country_is_under_the_wrong_law() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", facts=(*facts(), fact(FactKind.EXTRATERRITORIAL_LAW, "US-CLOUD-ACT")))
    law = LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"}))
    await stage.submit(asked(ResidencyPolicy(site=SiteRule(NORDIC), legal=law)))
    await stage.look()
    assert stage.placed == []
    assert reasons(stage, ZONE) == {Reason.LEGAL_CONTROL_DENIED}


def link_to_tromso(countries: tuple[str, ...] | None = ()) -> NetworkLink:
    rtt = RoundTrip(9_000, 9_000, 9_000, LatencyBasis.MODELLED)
    return NetworkLink("oslo--tromso", "oslo", "tromso", 0, rtt, countries, OWNER, LinkKind.TERRESTRIAL)


TROMSO = NetworkNode("tromso", "Tromso", "NO", 69.6, 18.9, access_point=False)
HERE_AND_ON_THE_WAY = ResidencyPolicy(site=SiteRule(NORDIC), transit=TransitRule(NORDIC), on_change=OnChange.TERMINATE)


async def running_in_tromso(policy: ResidencyPolicy) -> Stage:
    stage = await home_stage()
    assert await stage.offered(OWNER, "nodes/tromso", TROMSO) == ()
    assert await stage.offered(OWNER, "links/oslo--tromso", link_to_tromso()) == ()
    await stage.offer(OWNER, "tromso-1", node="tromso", facts=facts())
    await stage.submit(asked(policy))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.placed == [f"{OWNER}/tromso-1 READY"]
    return stage


@pytest.mark.parametrize(
    ("withdrawn", "constraint"),
    [
        ("zones/tromso-1", "SiteResidency"),
        ("links/oslo--tromso", "TransitResidency: no path from oslo to node tromso: unknown"),
        ("nodes/tromso", "TransitResidency: no path from oslo to node tromso: unknown"),
    ],
)
async def test_who_withdraws_what_he_showed_of_a_running_placement_is_no_better_off_than_who_shows_a_change(
    withdrawn: str, constraint: str
) -> None:
    stage = await running_in_tromso(HERE_AND_ON_THE_WAY)
    await stage.plane.partners.offered(OWNER, [], [withdrawn])
    await stage.look()
    assert stage.placed == []
    assert stage.conditions()["Lawful"] == "FALSE"
    assert constraint in stage.event("PolicyBroken")


@pytest.mark.parametrize("withdrawn", ["zones/tromso-1", "links/oslo--tromso"])
async def test_where_no_rule_asks_for_it_nothing_withdrawn_breaks_one(withdrawn: str) -> None:
    stage = await running_in_tromso(ResidencyPolicy(on_change=OnChange.TERMINATE))
    await stage.plane.partners.offered(OWNER, [], [withdrawn])
    await stage.look()
    assert stage.placed == [f"{OWNER}/tromso-1 READY"]


async def test_a_zone_whose_node_goes_to_sea_stands_in_no_country_any_more() -> None:
    stage = await running_in_tromso(HERE_AND_ON_THE_WAY)
    at_sea = NetworkNode("tromso", "Tromso", None, 50.1, 8.7, access_point=False, at_sea=True)
    assert await stage.offered(OWNER, "nodes/tromso", at_sea) == ()
    await stage.look()
    assert stage.placed == []
    assert "node tromso is at sea" in stage.event("PolicyBroken")


async def test_a_partners_node_without_coordinates_is_refused_as_nothing_could_refute_it() -> None:
    stage = await home_stage()
    nowhere = NetworkNode("tromso", "Tromso", "NO", 0.0, 0.0, access_point=False)
    ((name, field_name, _),) = await stage.offered(OWNER, "nodes/tromso", nowhere)
    assert (name, field_name) == ("nodes/tromso", "node.latitude_deg")
    assert await stage.offered(OWNER, "nodes/tromso", TROMSO) == ()


async def test_an_owner_holds_nothing_against_the_law_of_its_own_nation_whatever_the_caller_asks_for() -> None:
    laws = Laws(LawBook(nation=ResidencyPolicy(site=SiteRule(frozenset({"SE"})))))
    owned = LawDesk(laws, HandClock()).owned(asked(ResidencyPolicy()))
    assert owned.residency.site == SiteRule(frozenset({"SE"}))
