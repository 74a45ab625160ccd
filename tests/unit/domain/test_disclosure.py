"""What an agreement lets a partner see and take: never more than there is, and the country always."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.agreement import (
    OPEN,
    Agreement,
    Amounts,
    Disclosure,
    PlaceShown,
    PriceList,
    Quota,
    RoomShown,
    names,
)
from hansa_control.domain.disclosure import Excess, Held, band, exceeded, left, priced, shown, shown_node
from hansa_control.domain.model import (
    AcceleratorPool,
    ArtefactRef,
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Inventory,
    NetworkNode,
    Zone,
    ZoneId,
    ZoneState,
)

NOW = 1_000
COUNTRY = Fact(FactKind.SITE_COUNTRY, "NO", Evidence(EvidenceKind.DECLARATION, "o", "s", 1, 9_000, ""))
L4 = AcceleratorPool("nvidia", "L4", 24_000, 7)
OSLO = NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True)


def zone(name: str = "oslo-1", free: Capacity | None = None) -> Zone:
    total = Capacity(14_500, 70_000, (("nvidia/L4", 7),))
    inventory = Inventory(
        "oslo", "Oslo", total, (L4,), (ArtefactRef("a", "d"),), "10.0.0.1:862", 900, "file", False, "hall-3"
    )
    return Zone(ZoneId("nordavind", name), inventory, free or total, (COUNTRY,), ZoneState.AVAILABLE, 1, 0)


def under(agreement: Agreement, held: dict[str, list[Capacity]] | None = None, of: Zone | None = None) -> Zone:
    seen = shown(agreement, of or zone(), Held(held or {}), NOW)
    assert seen is not None
    return seen


# --- zones ---


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "oslo-1", True),
        ("oslo-*", "oslo-1", True),
        ("oslo-*", "bergen-1", False),
        ("oslo-1", "oslo-1", True),
        ("oslo-1", "oslo-11", False),
        ("*-1", "oslo-1", True),
        ("*-1", "oslo-12", False),
        ("o*o-*", "oslo-1", True),
        ("oslo-1*1", "oslo-1", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, name: str, *, fits: bool) -> None:
    assert names((pattern,), name) is fits


def test_an_open_agreement_shows_a_zone_as_it_is() -> None:
    assert under(OPEN) is not None
    assert under(OPEN) == zone()


def test_a_zone_that_is_not_offered_is_not_shown() -> None:
    assert shown(Agreement(zones=("bergen-*",)), zone(), Held({}), NOW) is None


def test_a_zone_that_is_offered_no_more_is_shown_as_closed_while_claims_are_left() -> None:
    seen = under(Agreement(zones=("bergen-*",)), {"oslo-1": [Capacity(1_000)]})
    assert seen.inventory.cordoned
    assert seen.free == Capacity()
    assert seen.facts == (COUNTRY,)


# --- place ---


def test_a_coarse_place_keeps_the_country_and_says_no_town() -> None:
    coarse = Agreement(disclosures=(Disclosure(place=PlaceShown.COARSE),))
    seen = under(coarse)
    assert (seen.inventory.title, seen.inventory.failure_domain) == ("", "")
    assert seen.facts == (COUNTRY,)
    node = shown_node(coarse, OSLO, [zone()])
    assert (node.country, node.title, node.latitude_deg, node.longitude_deg) == ("NO", "", 59.5, 10.5)
    assert node.coarse


def test_what_troubles_a_zone_inside_is_not_told_to_partners() -> None:
    troubled = replace(zone(), inventory=replace(zone().inventory, trouble="node rack-7 is not ready"))
    assert under(Agreement(), of=troubled).inventory.trouble == ""


def test_a_node_without_a_coarse_zone_is_shown_as_it_is() -> None:
    coarse = Agreement(disclosures=(Disclosure(zones=("bergen-*",), place=PlaceShown.COARSE),))
    assert shown_node(coarse, OSLO, [zone()]) == OSLO


def test_the_first_disclosure_that_names_a_zone_counts() -> None:
    both = (Disclosure(zones=("oslo-*",)), Disclosure(place=PlaceShown.COARSE))
    assert under(Agreement(disclosures=both)).inventory.title == "Oslo"
    assert under(Agreement(disclosures=both[::-1])).inventory.title == ""


# --- room ---


@pytest.mark.parametrize(("amount", "rounded"), [(0, 0), (1, 1), (2, 2), (3, 2), (7, 4), (8, 8), (1_000, 512)])
def test_bands_are_powers_of_two_rounded_down(amount: int, rounded: int) -> None:
    assert band(amount) == rounded


def test_in_bands_neither_what_is_free_nor_what_there_is_is_exact() -> None:
    seen = under(Agreement(disclosures=(Disclosure(room=RoomShown.BANDS),)))
    assert seen.free == seen.inventory.capacity == Capacity(8_000, 65_536, (("nvidia/L4", 4),))
    assert seen.inventory.pools == (replace(L4, count=4),)


def test_no_more_is_shown_to_be_free_than_was_agreed() -> None:
    most = Amounts(accelerators=2, cpu_millis=3_000, memory_mib=1_024)
    seen = under(Agreement(disclosures=(Disclosure(most=most),)))
    assert seen.free == Capacity(3_000, 1_024, (("nvidia/L4", 2),))
    assert seen.inventory.capacity == zone().inventory.capacity


def test_no_more_is_shown_to_be_free_than_the_quotas_leave() -> None:
    agreement = Agreement(quotas=(Quota(most=Amounts(accelerators=3)),))
    held = {"bergen-1": [Capacity(1_000, 1_000, (("nvidia/L4", 2),))]}
    assert under(agreement, held).free.accelerators == (("nvidia/L4", 1),)


def test_nothing_is_shown_to_be_free_when_no_claim_is_left() -> None:
    agreement = Agreement(quotas=(Quota(claims=1),))
    assert under(agreement, {"bergen-1": [Capacity(1)]}).free == Capacity()
    assert under(agreement).free == zone().free


# --- quotas ---

GPU = Capacity(1_000, 2_048, (("nvidia/L4", 1),))


def test_a_quota_counts_all_its_zones_together() -> None:
    agreement = Agreement(quotas=(Quota(zones=("oslo-*",), most=Amounts(accelerators=2)),))
    held = Held({"oslo-2": [GPU, GPU], "bergen-1": [GPU]})
    assert exceeded(agreement, "oslo-1", held, GPU) == (Excess("accelerators", 2, 1, 2, "in oslo-*"),)
    assert exceeded(agreement, "bergen-1", held, GPU) == ()


def test_a_quota_of_each_zone_counts_that_zone_alone() -> None:
    agreement = Agreement(quotas=(Quota(each=True, claims=1),))
    assert exceeded(agreement, "oslo-1", Held({"oslo-2": [GPU]}), GPU) == ()
    assert exceeded(agreement, "oslo-2", Held({"oslo-2": [GPU]}), GPU) == (Excess("claims", 1, 1, 1, "in oslo-2"),)


def test_every_bound_that_would_break_is_told() -> None:
    quota = Quota(most=Amounts(0, 500, 1_024), claims=0)
    whats = [found.what for found in exceeded(Agreement(quotas=(quota,)), "oslo-1", Held({}), GPU)]
    assert whats == ["accelerators", "cpu_millis", "memory_mib", "claims"]


def test_a_quota_may_be_used_up_to_its_bound() -> None:
    agreement = Agreement(quotas=(Quota(most=Amounts(accelerators=2), claims=2),))
    assert exceeded(agreement, "oslo-1", Held({"oslo-1": [GPU]}), GPU) == ()


def test_of_several_quotas_the_narrowest_is_left() -> None:
    agreement = Agreement(
        quotas=(Quota(most=Amounts(cpu_millis=9_000)), Quota(zones=("oslo-*",), most=Amounts(cpu_millis=2_500)))
    )
    assert left(agreement, "oslo-1", Held({"oslo-1": [GPU]})) == Amounts(cpu_millis=1_500)
    assert left(agreement, "bergen-1", Held({"oslo-1": [GPU]})) == Amounts(cpu_millis=8_000)


def test_what_is_taken_beyond_a_quota_that_was_lowered_leaves_nothing() -> None:
    agreement = Agreement(quotas=(Quota(most=Amounts(cpu_millis=500)),))
    assert left(agreement, "oslo-1", Held({"oslo-1": [GPU]})) == Amounts(cpu_millis=0)


# --- prices ---


def price(prices: PriceList, now_ms: int = NOW) -> int:
    return priced(Agreement(prices=prices), zone(), now_ms).inventory.price_millieur_per_hour


@pytest.mark.parametrize("key", ["L4", "nvidia/L4"])
def test_an_agreed_price_stands_instead_of_the_zones_own(key: str) -> None:
    assert price(PriceList("EUR", ((key, 700),))) == 700


@pytest.mark.parametrize(
    "prices",
    [
        PriceList("SEK", (("L4", 700),)),
        PriceList("EUR", (("H100", 700),)),
        PriceList("EUR", (("L4", 700),), valid_from_ms=NOW + 1),
        PriceList("EUR", (("L4", 700),), valid_until_ms=NOW),
    ],
)
def test_the_zones_own_price_stands_where_none_is_agreed_for_now(prices: PriceList) -> None:
    assert price(prices) == 900


def test_of_several_models_the_dearest_price_is_shown() -> None:
    inventory = replace(zone().inventory, pools=(L4, AcceleratorPool("nvidia", "H100", 80_000, 1)))
    both = Agreement(prices=PriceList("EUR", (("H100", 3_000), ("L4", 700))))
    assert priced(both, replace(zone(), inventory=inventory), NOW).inventory.price_millieur_per_hour == 3_000
