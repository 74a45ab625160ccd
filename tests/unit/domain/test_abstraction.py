"""Virtual links: what they say of the paths that they stand for, where saying less would be saying something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.domain.abstraction import Inside, gateways, leaving
from hansa_control.domain.inner_paths import PATHS_MAX, SEARCHES_MAX
from hansa_control.domain.model import (
    LatencyBasis,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
    TransitRule,
    UnknownPaths,
)
from hansa_control.domain.residency import link_faults

ENDS = frozenset({"a", "z"})
E = LinkEncryption
ACCEPTING = TransitRule(frozenset({"NO"}), unknown_paths=UnknownPaths.ACCEPT_ENCRYPTED)


def node(name: str, country: str | None = "NO", *, at_sea: bool = False) -> NetworkNode:
    return NetworkNode(name, "", country, 0.0, 0.0, access_point=False, at_sea=at_sea)


def link(a: str, b: str, us: int = 1_000, **changes: Any) -> NetworkLink:
    rtt = RoundTrip(us, us + 500, us + 900, LatencyBasis.MODELLED)
    return replace(NetworkLink(f"{a}--{b}", a, b, 0, rtt, (), "skargard", LinkKind.TERRESTRIAL), **changes)


def between(*given: NetworkNode | NetworkLink) -> tuple[NetworkLink, ...]:
    """Virtual links between a and z, both in Norway."""
    nodes = (node("a"), node("z"), *(one for one in given if isinstance(one, NetworkNode)))
    return Inside("skargard", nodes, [one for one in given if isinstance(one, NetworkLink)]).virtual_links(ENDS)


def test_a_path_that_is_known_in_part_is_not_accepted_for_being_encrypted() -> None:
    dark = link("a", "m", countries=None, encryption=E.ENCRYPTED)
    (seen,) = between(node("m", "SE"), dark, link("m", "z", encryption=E.ENCRYPTED))
    assert (seen.countries, seen.encryption) == (None, E.UNKNOWN)
    assert link_faults(ACCEPTING, seen)


def test_a_path_that_crosses_a_denied_country_beside_an_unknown_one_is_not_accepted_either() -> None:
    dark = link("a", "m", countries=None, encryption=E.ENCRYPTED)
    abroad = link("m", "z", countries=("SE",), encryption=E.ENCRYPTED)
    (seen,) = between(node("m", None, at_sea=True), dark, abroad)
    assert link_faults(ACCEPTING, seen)


def test_a_node_on_land_in_an_unknown_country_is_not_accepted_for_links_that_are_encrypted() -> None:
    (seen,) = between(node("m", None), link("a", "m", encryption=E.ENCRYPTED), link("m", "z", encryption=E.ENCRYPTED))
    assert (seen.countries, seen.encryption) == (None, E.UNKNOWN)
    assert link_faults(ACCEPTING, seen)


def test_an_encrypted_link_of_which_nothing_is_known_may_be_accepted_as_the_real_one() -> None:
    (seen,) = between(link("a", "z", countries=None, encryption=E.ENCRYPTED))
    assert (seen.countries, seen.encryption) == (None, E.ENCRYPTED)
    assert not link_faults(ACCEPTING, seen)


def test_a_node_at_sea_is_in_no_country_and_unknown_to_nobody() -> None:
    (seen,) = between(node("m", None, at_sea=True), link("a", "m"), link("m", "z"))
    assert seen.countries == ()


def test_a_country_of_the_ends_is_said_again_where_the_path_is_there() -> None:
    # A partner may know a node of that name elsewhere, so that the ends alone would not tell.
    (seen,) = between(node("m", "NO"), link("a", "m"), link("m", "z"))
    assert seen.countries == ("NO",)


def test_there_is_a_link_for_the_fastest_path_and_one_for_each_that_avoids_something() -> None:
    seen = between(
        node("fi", "FI"),
        node("se", "SE"),
        link("a", "fi", 1_000),
        link("fi", "z", 1_000),
        link("a", "se", 2_000),
        link("se", "z", 2_000),
        link("a", "z", 9_000, encryption=E.ENCRYPTED),
    )
    assert [
        (one.countries, one.rtt.p95_us, one.encryption) for one in sorted(seen, key=lambda one: one.rtt.p95_us)
    ] == [
        (("FI",), 3_000, E.UNKNOWN),
        (("SE",), 5_000, E.UNKNOWN),
        ((), 9_500, E.ENCRYPTED),
    ]


def test_a_slower_way_is_shown_for_being_encrypted() -> None:
    seen = between(link("a", "z"), link("a", "z", 2_000, name="other", encryption=E.ENCRYPTED))
    assert {(one.encryption, one.rtt.p50_us) for one in seen} == {(E.UNKNOWN, 1_000), (E.ENCRYPTED, 2_000)}


def test_where_directions_differ_each_has_a_one_way_link_of_twice_its_time() -> None:
    there = link("a", "m", forward_permille=301, one_way=True)
    back = link("z", "a", 4_001, one_way=True)
    seen = between(node("m", "SE"), there, link("z", "m", forward_permille=200), back)
    found = {(one.node_a, one.node_b, one.countries): (one.one_way, one.rtt.p95_us) for one in seen}
    # There: 1,500 us x 0.301 + 1,500 us x 0.8 (against the link's direction) = 1,651.5 us. Back: half of 4,501 us.
    assert found == {("a", "z", ("SE",)): (True, 3_303), ("z", "a", ()): (True, 4_501)}


def test_a_time_that_is_no_whole_microsecond_is_rounded_up() -> None:
    seen = between(link("a", "z", 1_000, forward_permille=333))
    # 1,500 us x 0.333 x 2 = 999 us; x 0.667 x 2 = 2,001 us; at the median (1,000 + 100) x 0.666 = 732.6 us.
    assert {(one.node_a, one.rtt.p95_us) for one in seen} == {("a", 999), ("z", 2_001)}
    (there,) = (one for one in seen if one.node_a == "a")
    assert there.rtt.p50_us + -(-(there.rtt.p95_us - there.rtt.p50_us) // 5) == 733


def test_what_is_slower_and_crosses_no_less_is_not_shown() -> None:
    seen = between(node("fi", "FI"), link("a", "fi"), link("fi", "z"), link("a", "z", 300))
    assert [one.rtt.p50_us for one in seen] == [300]


def test_a_path_of_two_carriers_is_shown_only_over_a_node_that_is_shown() -> None:
    nodes = [node("a"), node("m", "SE"), node("z")]
    links = [link("a", "m"), link("m", "z", carrier="waldnetz")]
    inside = Inside("skargard", nodes, links)
    assert inside.virtual_links(ENDS) == ()
    parts = inside.virtual_links(ENDS | {"m"})
    assert [(one.node_a, one.node_b, one.carrier) for one in parts] == [("a", "m", "skargard"), ("m", "z", "waldnetz")]


def test_each_carrier_has_links_of_its_own() -> None:
    seen = between(link("a", "z"), link("a", "z", 2_000, name="other", carrier="waldnetz"))
    assert {(one.carrier, one.rtt.p50_us) for one in seen} == {("skargard", 1_000), ("waldnetz", 2_000)}
    assert len({one.name for one in seen}) == 2


def test_a_name_stays_while_times_change_and_tells_nothing_of_the_inside() -> None:
    (before,) = between(node("secret", "SE"), link("a", "secret"), link("secret", "z"))
    (after,) = between(node("other", "SE"), link("a", "other", 7_000), link("other", "z"))
    assert before.name == after.name
    assert before.name.startswith("a--z-")
    (elsewhere,) = between(node("m", "FI"), link("a", "m"), link("m", "z"))
    assert elsewhere.name != before.name


def test_names_of_long_nodes_are_names_of_links() -> None:
    long = [node("a" * 128), node("b" * 47 + "-" + "b" * 80)]
    wide = link("a" * 128, long[1].name, name="l")
    (seen,) = Inside("o" * 63, long, [wide]).virtual_links(frozenset(one.name for one in long))
    assert len(seen.name) <= 128
    assert seen.name.startswith("a" * 48 + "--" + "b" * 47 + "-")


@pytest.mark.parametrize(
    ("bases", "basis"),
    [
        ((LatencyBasis.MEASURED, LatencyBasis.MEASURED), LatencyBasis.MEASURED),
        ((LatencyBasis.MEASURED, LatencyBasis.MODELLED), LatencyBasis.MODELLED),
        ((LatencyBasis.PHYSICAL, LatencyBasis.MEASURED), LatencyBasis.MODELLED),
        ((LatencyBasis.PHYSICAL, LatencyBasis.PHYSICAL), LatencyBasis.PHYSICAL),
    ],
)
def test_a_path_is_measured_only_if_all_of_it_is(bases: tuple[LatencyBasis, ...], basis: LatencyBasis) -> None:
    first, second = (RoundTrip(10, 20, 30, one, count, count) for one, count in zip(bases, (40, 7), strict=True))
    (seen,) = between(node("m"), link("a", "m", rtt=first), link("m", "z", rtt=second))
    assert seen.rtt == RoundTrip(20, 40, 60, basis, 7, 7)


def test_a_wet_stretch_makes_a_wet_link_and_lengths_and_bandwidths_are_those_of_the_path() -> None:
    wet = link("a", "m", length_m=7_000, kind=LinkKind.SEA_CABLE, bandwidth_kbps=10)
    (seen,) = between(node("m"), wet, link("m", "z", length_m=8_000, bandwidth_kbps=5))
    assert (seen.kind, seen.length_m, seen.bandwidth_kbps) == (LinkKind.SEA_CABLE, 15_000, 5)


def test_of_many_ways_no_more_are_shown_than_the_bound() -> None:
    lands = [f"{x}{y}" for x in "ABCD" for y in "ABCD"]
    ways = [
        link(*ends, us=1_000 + at)
        for at, land in enumerate(lands)
        for ends in (("a", land.lower()), (land.lower(), "z"))
    ]
    seen = between(*(node(land.lower(), land) for land in lands), *ways)
    assert len(seen) == PATHS_MAX < len(lands) < SEARCHES_MAX
    assert {one.countries for one in seen} == {(land,) for land in lands[:PATHS_MAX]}


def test_a_link_that_partners_would_not_take_is_not_shown() -> None:
    far = link("a", "z", length_m=100_000_001, us=10_000_000)
    assert between(far) == ()


def test_links_that_leave_make_gateways_and_stay_outside() -> None:
    nodes, out = [node("a"), node("z")], link("a", "other", name="out")
    links = [link("a", "z"), out]
    assert leaving(nodes, links) == (out,)
    assert gateways(nodes, links) == {"a"}
    (seen,) = Inside("skargard", nodes, links).virtual_links(ENDS)
    assert {seen.node_a, seen.node_b} == ENDS
