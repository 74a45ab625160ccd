"""Zones that a partner offers on: what is passed on, what is believed of it, and what the law says of everybody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.application.ports import HoldRequest
from hansa_control.domain.agreement import ANYBODY, Agreement, Reoffer, Stance, Wish
from hansa_control.domain.model import (
    AccessDemand,
    FactKind,
    Intake,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.origin import LIFE_MS_MAX, operators_of, signed_bytes
from home_operator import spec
from three_operators import (
    ALIAS,
    BETWEEN,
    HOME,
    OWNER,
    ZONE,
    Three,
    control,
    fact,
    hand_over,
    offer_at_home,
    seals_of,
    three_operators,
)

NAME = f"zones/{ALIAS}"
EUROPEAN = frozenset({"NO", "SE", "DE"})


async def passed(three: Three) -> Zone:
    assert await three.spread() == {}
    return next(zone for zone in three.home.plane.world.snapshot().zones if zone.id == ZoneId(BETWEEN, ALIAS))


async def test_a_zone_is_offered_on_with_the_chain_of_who_passed_it_on() -> None:
    three = await three_operators()
    zone = await passed(three)
    assert zone.origin is not None
    assert (str(zone.origin.zone), [one.operator for one in zone.handlers]) == ("waldnetz/berlin-1", [BETWEEN])
    assert operators_of(offer_at_home(three, NAME).chain) == (OWNER, BETWEEN)


async def test_the_network_that_leads_there_comes_with_it_as_its_owner_signed_it() -> None:
    three = await three_operators()
    await passed(three)
    held = three.home.plane.world.offered.of(BETWEEN)
    assert {"nodes/berlin", "nodes/rostock", "links/rostock--berlin"} <= held.keys()
    assert {operators_of(held[name].chain) for name in ("nodes/berlin", "links/rostock--berlin")} == {(OWNER, BETWEEN)}


@pytest.mark.parametrize(
    "reoffer", [Reoffer(), Reoffer(("berlin-*",), ("blueridge",)), Reoffer(("hamburg-*",), ANYBODY)]
)
async def test_nothing_is_offered_on_that_its_owner_does_not_permit(reoffer: Reoffer) -> None:
    three = await three_operators(reoffer)
    assert await three.spread() == {}
    assert NAME not in three.home.plane.world.offered.of(BETWEEN)


async def test_nothing_is_offered_on_that_the_one_between_does_not_want_to() -> None:
    three = await three_operators(passes_on=("blueridge/*",))
    assert await three.spread() == {}
    assert [name for name in three.home.plane.world.offered.of(BETWEEN) if "berlin" in name] == []


async def test_nothing_is_offered_on_to_a_partner_that_would_take_it_for_the_offerers_own() -> None:
    three = await three_operators()
    await passed(three)
    shown_by = three.between.plane
    await shown_by.partners.propose(HOME, three.clock.wall_ms(), ("signed-grants", "virtual-links"))
    assert await three.spread() == {}
    assert NAME not in three.home.plane.world.offered.of(BETWEEN)
    (using,) = [one for one in shown_by.partnerships.all() if one.partner == HOME and one.uses_ours]
    assert using.lacks == ("chains-of-origin",)


async def test_of_an_operator_whose_zones_are_not_wanted_the_network_is_passed_on_alone() -> None:
    three = await three_operators(passes_on=("waldnetz/hamburg-*",))
    assert await three.spread() == {}
    held = three.home.plane.world.offered.of(BETWEEN)
    assert "nodes/berlin" in held and NAME not in held


async def test_an_owner_that_is_not_known_is_refused_by_name() -> None:
    three = await three_operators(known=())
    refused = await three.spread()
    assert refused[NAME] == "chain[0].by: waldnetz is not known here; name it under known_operators"
    assert refused["nodes/berlin"].startswith("chain[0].by")


async def test_a_permission_that_is_taken_back_takes_the_zone_away() -> None:
    three = await three_operators()
    await passed(three)
    three.owner.agreements.agreed[BETWEEN] = Stance(Agreement())
    assert await three.spread() == {}
    assert [name for name in three.home.plane.world.offered.of(BETWEEN) if "berlin" in name] == []


async def test_a_chain_that_nobody_renews_ends_by_itself_everywhere() -> None:
    three = await three_operators()
    await passed(three)
    three.tick(3_600_000)
    assert [name for name in three.home.plane.world.offered.of(BETWEEN) if "berlin" in name] == []
    assert three.between.plane.partners.offers(HOME).keys() & {NAME} == set()
    assert await three.spread() == {}
    assert NAME in three.home.plane.world.offered.of(BETWEEN)


async def test_a_permission_does_not_outlive_the_agreement_that_it_rests_on() -> None:
    three = await three_operators()
    end_ms = three.clock.wall_ms() + 60_000
    agreement = three.owner.agreements.agreed[BETWEEN].agreement
    three.owner.agreements.agreed[BETWEEN] = Stance(
        replace(agreement, terms=replace(agreement.terms, valid_until_ms=end_ms))
    )
    three.tick()
    await passed(three)
    assert [one.terms.valid_until_ms for one in offer_at_home(three, NAME).chain] == [end_ms, end_ms]


async def test_notice_to_the_one_between_is_passed_on_as_a_zone_that_is_to_be_left() -> None:
    three = await three_operators()
    await passed(three)
    agreement = three.owner.agreements.agreed[BETWEEN].agreement
    three.owner.agreements.agreed[BETWEEN] = Stance(agreement, Wish.TERMINATED)
    await three.owner.plane.owner.hold(BETWEEN, HoldRequest("c9", ZONE, spec_at_the_owner(), 10_000))
    three.tick()
    standing = three.owner.plane.partners.standing(BETWEEN)
    assert standing is not None
    await three.between.plane.partners.told(OWNER, standing)
    zone = await passed(three)
    assert (zone.state, zone.upkeep.intake) == (ZoneState.AGREEMENT_ENDING, Intake.DRAINING)
    assert offer_at_home(three, NAME).chain[0].terms.valid_until_ms <= standing.deadline_ms


def spec_at_the_owner() -> WorkloadSpec:
    return replace(spec(), access=(AccessDemand("rostock", 1_000),))


async def test_a_zone_that_its_owner_itself_offers_wins_over_the_one_passed_on() -> None:
    three = await three_operators(known=())
    home = three.home
    home.agreements.agreed[OWNER] = Stance(Agreement())
    await home.start()
    await three.federate()
    three.owner.agreements.agreed[HOME] = Stance(Agreement())
    assert await hand_over(three.owner, three.between) == {}
    assert await hand_over(three.between, home) == {}
    direct = three.owner.plane.world.own_zones()[0]
    offer = replace(offer_at_home(three, NAME), operator=OWNER, name=f"zones/{ZONE}", body=direct, chain=())
    assert await home.plane.partners.offered(OWNER, [offer], []) == ()
    assert NAME not in home.plane.world.offered.of(BETWEEN)
    refused = await hand_over(three.between, home)
    assert refused[NAME] == f"name: {OWNER} itself offers zones/{ZONE}"


# --- what is forged -------------------------------------------------------------------------------------------------


async def refusal(three: Three, **changes: Any) -> str:
    """Why home refuses the zone with its offer changed; empty if it takes it."""
    held = offer_at_home(three, NAME)
    refused = await three.home.plane.partners.offered(BETWEEN, [replace(held, etag="x", **changes)], [])
    return "; ".join(f"{where}: {why}" for _, where, why in refused)


@pytest.mark.parametrize(
    ("at", "changes", "field"),
    [
        (0, {"onward": ANYBODY}, "chain[1].previous_digest"),
        (1, {"valid_until_ms": 1_800_080_000_000}, "chain[1].signature"),
        (1, {"facts": control("NO")}, "zone.origin"),
        (0, {"to": HOME}, "chain[0].to"),
        (1, {"to": "havnby"}, "chain[1].to"),
        (1, {"by": "havnby"}, "chain[0].to"),
        (0, {"by": HOME}, "chain[0].by"),
        (0, {"by": BETWEEN}, "chain[1].by"),
        (1, {"signed_at_ms": 1_900_000_000_000, "valid_until_ms": 1_900_000_100_000}, "chain[1].signed_at_ms"),
        (1, {"valid_until_ms": 1_800_000_000_000}, "chain[1].valid_until_ms"),
        (1, {"valid_until_ms": 1_800_200_000_000}, "chain[1].valid_until_ms"),
        (1, {"name": "zones/hamburg-1"}, "chain[1].name"),
        (1, {"format": 2}, "chain[1].format"),
    ],
)
async def test_a_link_that_is_not_as_it_was_signed_is_refused_by_its_field(
    at: int, changes: dict[str, Any], field: str
) -> None:
    three = await three_operators()
    await passed(three)
    chain = list(offer_at_home(three, NAME).chain)
    chain[at] = replace(chain[at], terms=replace(chain[at].terms, **changes))
    assert (await refusal(three, chain=tuple(chain))).startswith(f"{field}:")


async def test_facts_that_the_one_between_has_changed_are_refused() -> None:
    three = await three_operators()
    await three.advertise(fact(FactKind.SITE_COUNTRY, "DE"))
    zone = await passed(three)
    wrong = await refusal(three, body=replace(zone, facts=(fact(FactKind.SITE_COUNTRY, "NO"),)))
    assert wrong.startswith("chain[0].content_digest: zone facts") and OWNER in wrong
    moved = await refusal(three, body=replace(zone, inventory=replace(zone.inventory, node="oslo")))
    assert moved.startswith("chain[0].content_digest")


async def test_a_node_that_the_one_between_has_moved_to_another_country_is_refused() -> None:
    three = await three_operators()
    await passed(three)
    held = offer_at_home(three, "nodes/berlin")
    moved = replace(held, etag="x", body=replace(held.body, country="NO"))  # type: ignore[type-var]
    refused = await three.home.plane.partners.offered(BETWEEN, [moved], [])
    assert [where for _, where, _ in refused] == ["chain[0].content_digest"]


async def test_the_one_between_cannot_sign_for_the_owner() -> None:
    three = await three_operators()
    await passed(three)
    first, second = offer_at_home(three, NAME).chain
    forged = replace(first, signed=seals_of(BETWEEN, ()).sign(signed_bytes(first.terms)))
    wrong = await refusal(three, chain=(forged, second))
    assert wrong.startswith("chain[0].signature: ")


async def test_a_zone_of_another_without_a_chain_is_refused() -> None:
    three = await three_operators()
    await passed(three)
    assert (await refusal(three, chain=())).startswith("zone.origin")


async def test_an_older_permission_is_not_taken_again() -> None:
    three = await three_operators()
    await passed(three)
    old = offer_at_home(three, NAME)
    three.clock.now_ms += 2_000_000
    await passed(three)
    assert offer_at_home(three, NAME).chain[0].terms.signed_at_ms > old.chain[0].terms.signed_at_ms
    assert (await refusal(three, chain=old.chain)).startswith("chain[0].signed_at_ms")
    await three.home.start()
    await three.federate()
    assert (await refusal(three, chain=old.chain)).startswith("chain[0].signed_at_ms")


async def test_how_new_a_chain_was_is_forgotten_when_whatever_is_older_has_ended_by_itself() -> None:
    three = await three_operators()
    await passed(three)
    old, home = offer_at_home(three, NAME), three.home.plane
    signed = home.state.counts("origin|")
    assert any(name.endswith(NAME) for name, _ in signed)
    newest_ms = max(at_ms for _, at_ms in signed)
    three.clock.now_ms += newest_ms + LIFE_MS_MAX - three.clock.wall_ms()
    home.partners.tick()
    assert home.state.counts("origin|") == signed
    three.clock.now_ms += home.settings.clock_skew_ms_max + 1
    home.partners.tick()
    assert home.state.counts("origin|") == []
    await home.state.commit()
    await three.home.start()
    assert three.home.plane.state.counts("origin|") == []
    three.home.plane.world.offered.put(old)
    assert (await refusal(three, chain=old.chain)).startswith("chain[0].valid_until_ms: expired")


# --- the law --------------------------------------------------------------------------------------------------------


async def reasons(three: Three, policy: ResidencyPolicy) -> dict[Reason, str]:
    await three.advertise(fact(FactKind.SITE_COUNTRY, "DE"), *control("DE"))
    await passed(three)
    wanted = replace(spec(), residency=policy)
    decision = three.home.plane.decider.decide_anew(await three.submit(wanted), {})
    return {one.reason: one.result.measured for one in decision.rejections if one.zone == ZoneId(BETWEEN, ALIAS)}


async def test_a_lawful_chain_is_a_place() -> None:
    policy = ResidencyPolicy(site=SiteRule(EUROPEAN), legal=LegalRule(EUROPEAN), transit=TransitRule(EUROPEAN))
    assert await reasons(await three_operators(), policy) == {}


async def test_the_operator_between_is_a_legal_controller_too_and_named_in_the_reason() -> None:
    found = await reasons(await three_operators(), ResidencyPolicy(legal=LegalRule(frozenset({"DE"}))))
    assert found.keys() == {Reason.LEGAL_CONTROL_DENIED}
    assert found[Reason.LEGAL_CONTROL_DENIED].startswith(f"{BETWEEN}, which passes the zone on: ")


async def test_an_operator_between_that_says_nothing_of_itself_is_refused_as_unknown() -> None:
    three = await three_operators()
    three.between.legal_facts = ()
    await three.between.start()
    await three.federate()
    found = await reasons(three, ResidencyPolicy(legal=LegalRule(EUROPEAN)))
    assert found.keys() == {Reason.LEGAL_CONTROL_UNKNOWN}


async def test_the_owner_behind_the_chain_is_judged_as_ever() -> None:
    found = await reasons(await three_operators(), ResidencyPolicy(legal=LegalRule(frozenset({"SE"}))))
    assert found.keys() == {Reason.LEGAL_CONTROL_DENIED}
    assert "which passes the zone on" not in found[Reason.LEGAL_CONTROL_DENIED]


@pytest.mark.parametrize(
    ("predicate", "is_lawful"),
    [
        ('zone.operator != "blueridge"', True),
        ('zone.operator != "waldnetz"', False),
        ('zone.operator != "skargard"', False),
        ('zone.headquarters_country in ["DE", "SE"]', True),
        ('zone.headquarters_country == "DE"', False),
        ('zone.country == "DE"', True),
    ],
)
async def test_a_predicate_must_be_true_of_every_operator_of_the_chain(predicate: str, is_lawful: bool) -> None:
    found = await reasons(await three_operators(), ResidencyPolicy(predicates=(predicate,)))
    assert found.keys() == (set() if is_lawful else {Reason.PREDICATE_FALSE})
    if not is_lawful:
        assert found[Reason.PREDICATE_FALSE].startswith(("of waldnetz: ", "of skargard: "))


async def test_what_the_path_crosses_inside_the_owners_network_counts() -> None:
    found = await reasons(await three_operators(), ResidencyPolicy(transit=TransitRule(frozenset({"NO", "SE"}))))
    assert Reason.TRANSIT_DENIED in found
