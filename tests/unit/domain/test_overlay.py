"""What if: overlays give the snapshot that would be, refuse what does not fit, and leave what is alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from deciding_world import LINKS, NODES, NOW_MS, fact, facts, link, node, spec, zone
from hansa_control.domain.model import (
    AccessDemand,
    Decision,
    FactKind,
    LatencyBasis,
    LatencyBudget,
    NetworkLink,
    NetworkNode,
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
from hansa_control.domain.network import NetworkChange
from hansa_control.domain.overlay import FactGiven, FactTaken, Overlay, OverlayInvalid, apply_overlay, spec_under
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot, build_network

BODO = zone("nordavind/bodo-1", "bodo")
UMEA = zone("skargard/umea-1", "umea", facts=facts("SE"))
ZONES = (zone(), BODO, UMEA)
PROBES = tuple(
    ProbeResult(ZoneId("nordavind", "oslo-1"), far, RoundTrip(us, us, us, LatencyBasis.MEASURED, 500, NOW_MS), us, 0, 0)
    for far, us in ((BODO.id, 25_000), (UMEA.id, 21_000))
)
NORWAY = ResidencyPolicy(
    site=SiteRule(frozenset({"NO", "SE"})), transit=TransitRule(frozenset({"NO", "SE", "FI"}), frozenset({"smugler"}))
)
SPEC = spec(residency=NORWAY, access=(AccessDemand("oslo", 5_000), AccessDemand("bodo", 1_000)))


def world(
    zones: Iterable[Zone] = ZONES, nodes: Iterable[NetworkNode] = NODES, links: Iterable[NetworkLink] = LINKS
) -> Snapshot:
    kept = list(zones)
    built = assemble_snapshot(7, kept, build_network(7, nodes, links), Measured.between(PROBES, kept), NOW_MS)
    return replace(built, own="nordavind")


def decided(snapshot: Snapshot, workload: WorkloadSpec = SPEC) -> Decision:
    return decide(PlacementRequest(workload, "nordavind"), snapshot, NOW_MS)


CUT = "goteborg--helsinki"
SLOW = link("umea", "bodo", 40_000)
DIRECT = link("oslo", "bodo", 2_000)
HUB = node("kiruna", "SE")
TO_HUB = link("umea", "kiruna", 1_000)
KIRUNA = zone("skargard/kiruna-1", "kiruna", facts=facts("SE"))
FULL = replace(BODO, free=replace(BODO.free, accelerators=()))
SWEDISH = fact(FactKind.SITE_COUNTRY, "FI")

WORLDS = {
    "a link is cut": (Overlay(links_removed=(CUT,)), world(links=[x for x in LINKS if x.name != CUT])),
    "a link is slower": (Overlay(links=(SLOW,)), world(links=[SLOW if x.name == SLOW.name else x for x in LINKS])),
    "a link is new": (Overlay(links=(DIRECT,)), world(links=[*LINKS, DIRECT])),
    "a node is gone": (Overlay(nodes_removed=("helsinki",)), world(nodes=[x for x in NODES if x.name != "helsinki"])),
    "a node changes country": (
        Overlay(nodes=(node("helsinki", "RU"),)),
        world(nodes=[node("helsinki", "RU") if x.name == "helsinki" else x for x in NODES]),
    ),
    "a node, a link and a zone are new": (
        Overlay(nodes=(HUB,), links=(TO_HUB,), zones=(KIRUNA,)),
        world([*ZONES, KIRUNA], [*NODES, HUB], [*LINKS, TO_HUB]),
    ),
    "a zone is gone": (Overlay(zones_removed=(ZONES[0].id,)), world([BODO, UMEA])),
    "a zone is full": (Overlay(zones=(FULL,)), world([ZONES[0], FULL, UMEA])),
    "a zone moves": (
        Overlay(zones=(replace(BODO, inventory=replace(BODO.inventory, node="umea")),)),
        world([ZONES[0], replace(BODO, inventory=replace(BODO.inventory, node="umea")), UMEA]),
    ),
    "a fact is added": (
        Overlay(facts=(FactGiven(BODO.id, SWEDISH),)),
        world([ZONES[0], replace(BODO, facts=(*BODO.facts, SWEDISH)), UMEA]),
    ),
    "a fact is other": (
        Overlay(facts=(FactGiven(BODO.id, SWEDISH, instead=True),)),
        world([ZONES[0], replace(BODO, facts=(*BODO.facts[1:], SWEDISH)), UMEA]),
    ),
    "a fact is taken": (
        Overlay(facts_removed=(FactTaken(BODO.id, FactKind.SITE_COUNTRY),)),
        world([ZONES[0], replace(BODO, facts=BODO.facts[1:]), UMEA]),
    ),
    "a fact of one value is taken": (
        Overlay(facts_removed=(FactTaken(BODO.id, FactKind.SITE_COUNTRY, "NO"),)),
        world([ZONES[0], replace(BODO, facts=BODO.facts[1:]), UMEA]),
    ),
    "a link is slower while another is cut": (
        Overlay(links=(SLOW,), links_removed=(CUT,)),
        world(links=[SLOW if x.name == SLOW.name else x for x in LINKS if x.name != CUT]),
    ),
    "everything at once": (
        Overlay(
            links=(SLOW, DIRECT),
            links_removed=(CUT,),
            zones=(FULL,),
            zones_removed=(UMEA.id,),
            facts=(FactGiven(ZONES[0].id, fact(FactKind.OPERATION_COUNTRY, "NO")),),
        ),
        world(
            [replace(ZONES[0], facts=(*ZONES[0].facts, fact(FactKind.OPERATION_COUNTRY, "NO"))), FULL],
            links=[*(SLOW if x.name == SLOW.name else x for x in LINKS if x.name != CUT), DIRECT],
        ),
    ),
}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("case", WORLDS)
def test_deciding_under_an_overlay_is_deciding_on_the_world_that_would_be(case: str, *, warm: bool) -> None:
    overlay, scratch = WORLDS[case]
    live = world()
    if warm:
        decided(live)
    assert decided(apply_overlay(live, overlay)) == decided(scratch)


@pytest.mark.parametrize("case", WORLDS)
def test_what_is_stays_as_it_is(case: str) -> None:
    live, fresh = world(), decided(world())
    before = decided(live)
    hypothetical = apply_overlay(live, WORLDS[case][0])
    decided(hypothetical)
    assert decided(live) == before == fresh
    # And what follows for real is decided as if nobody had asked what if.
    real = live.updated(8, live.zones, NOW_MS, live.network.with_changes(8, change_of(SLOW)))
    scratch = world(links=[SLOW if x.name == SLOW.name else x for x in LINKS])
    assert decided(real).choices == decided(scratch).choices


def change_of(changed: NetworkLink) -> NetworkChange:
    return NetworkChange(links=(changed,))


def test_of_two_facts_of_a_kind_the_one_of_the_value_is_taken_or_all() -> None:
    first, second = fact(FactKind.CERTIFICATION, "ISO-27001"), fact(FactKind.CERTIFICATION, "C5")
    live = world([replace(BODO, facts=(first, second, *BODO.facts))])

    def left(value: str) -> tuple[str, ...]:
        overlay = Overlay(facts_removed=(FactTaken(BODO.id, FactKind.CERTIFICATION, value),))
        kept = apply_overlay(live, overlay).zones[0].facts
        assert kept[-len(BODO.facts) :] == BODO.facts
        return tuple(one.value for one in kept if one.kind is FactKind.CERTIFICATION)

    assert (left("C5"), left("ISO-27001"), left("")) == (("ISO-27001",), ("C5",), ())


def test_the_cases_differ_from_the_world_as_it_is() -> None:
    same = [
        case for case, (overlay, _) in WORLDS.items() if decided(apply_overlay(world(), overlay)) == decided(world())
    ]
    assert same == []


def test_an_overlay_keeps_generation_and_time_unless_told_otherwise() -> None:
    overlay = Overlay(links_removed=(CUT,))
    assert apply_overlay(world(), overlay).generation == 7
    assert apply_overlay(world(), overlay, 9).generation == 9
    assert apply_overlay(world(), overlay).taken_at_ms == NOW_MS
    assert apply_overlay(world(), overlay).own == "nordavind"


def test_a_policy_is_merged_into_the_workloads() -> None:
    denied = ResidencyPolicy(site=SiteRule(None, frozenset({"NO"})))
    under = spec_under(Overlay(policy=denied), SPEC)
    assert under.residency.site == SiteRule(frozenset({"NO", "SE"}), frozenset({"NO"}))
    assert [str(choice.zone) for choice in decided(world(), under).choices] == ["skargard/umea-1"]
    assert {found.reason for found in decided(world(), under).rejections} == {Reason.SITE_COUNTRY_DENIED}
    assert spec_under(Overlay(), SPEC) is SPEC


def test_a_cut_makes_the_workload_infeasible_where_no_other_way_is_fast_enough() -> None:
    tight = replace(SPEC, access=(AccessDemand("oslo", 1),), latency=LatencyBudget(95, 40_000))
    live = world()
    assert len(decided(live, tight).choices) > 1
    cut = apply_overlay(live, Overlay(links_removed=("oslo--goteborg",)))
    assert [str(choice.zone) for choice in decided(cut, tight).choices] == ["nordavind/oslo-1"]


def test_a_link_is_cut_by_its_ends_in_either_order() -> None:
    turned = apply_overlay(world(), Overlay(links_removed=("helsinki--goteborg",)))
    assert turned.links == apply_overlay(world(), Overlay(links_removed=(CUT,))).links
    assert CUT not in {link.name for link in turned.links}


def test_a_link_that_carries_one_way_or_is_named_otherwise_is_not_found_by_its_ends() -> None:
    one_way = replace(DIRECT, one_way=True)
    other = replace(DIRECT, name="north--south")
    for known, name in ((one_way, "bodo--oslo"), (other, "south--north")):
        with pytest.raises(OverlayInvalid, match=f"there is no link '{name}'; did you mean '{known.name}'"):
            apply_overlay(world(links=[*LINKS, known]), Overlay(links_removed=(name,)))


REFUSED = [
    (Overlay(links_removed=("helsinky--goteborg",)), "links_removed[0]", "did you mean 'goteborg--helsinki'?"),
    (Overlay(links=(SLOW,), links_removed=("bodo--umea",)), "links_removed[0]", "'umea--bodo' is removed and given"),
    (Overlay(links_removed=("goteborg--helsink",)), "links_removed[0]", "did you mean 'goteborg--helsinki'?"),
    (Overlay(nodes_removed=("oslo", "osla")), "nodes_removed[1]", "did you mean 'oslo'?"),
    (Overlay(zones_removed=(ZoneId("nordavind", "bodo-2"),)), "zones_removed[0]", "did you mean 'nordavind/bodo-1'?"),
    (Overlay(links=(SLOW,), links_removed=(SLOW.name,)), "links_removed[0]", "removed and given"),
    (Overlay(zones=(FULL,), zones_removed=(FULL.id,)), "zones_removed[0]", "removed and given"),
    (Overlay(nodes=(HUB, node("oslo", "SE")), nodes_removed=("oslo",)), "nodes_removed[0]", "removed and given"),
    (Overlay(links=(DIRECT, link("oslo", "helsinky"))), "links[1].node_b", "did you mean 'helsinki'?"),
    (Overlay(links=(link("kirun", "oslo"),), nodes=(HUB,)), "links[0].node_a", "did you mean 'kiruna'?"),
    (Overlay(links=(DIRECT,), nodes_removed=("bodo",)), "links[0].node_b", "there is no node 'bodo'"),
    (Overlay(zones=(zone("skargard/x-1", "uema"),)), "zones[0].inventory.node", "did you mean 'umea'?"),
    (Overlay(facts=(FactGiven(ZoneId("nordavind", "oslo"), SWEDISH),)), "facts[0].zone", "'nordavind/oslo-1'?"),
    (
        Overlay(zones_removed=(BODO.id,), facts=(FactGiven(BODO.id, SWEDISH),)),
        "facts[0].zone",
        "there is no zone 'nordavind/bodo-1'",
    ),
    (Overlay(facts_removed=(FactTaken(BODO.id, FactKind.ATTESTATION),)), "facts_removed[0].kind", "has no fact"),
    (
        Overlay(facts_removed=(FactTaken(BODO.id, FactKind.SITE_COUNTRY, "SE"),)),
        "facts_removed[0].value",
        "has no SITE_COUNTRY 'SE'; it has NO",
    ),
]


@pytest.mark.parametrize(("overlay", "field", "message"), REFUSED)
def test_what_does_not_fit_is_refused_by_field_with_the_nearest_name(
    overlay: Overlay, field: str, message: str
) -> None:
    with pytest.raises(OverlayInvalid) as caught:
        apply_overlay(world(), overlay)
    assert caught.value.field == field
    assert message in caught.value.message


def test_a_link_that_hangs_loose_may_be_cut_and_is_joined_by_a_new_node() -> None:
    loose = link("umea", "kiruna", 1_000)
    live = world(links=[*LINKS, loose])
    apply_overlay(live, Overlay(links_removed=(loose.name,)))
    joined = apply_overlay(live, Overlay(nodes=(HUB,), zones=(KIRUNA,)))
    assert decided(joined) == decided(world([*ZONES, KIRUNA], [*NODES, HUB], [*LINKS, loose]))
