from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import LINKS, NODES, link, node, zone
from hansa_control.domain.model import LinkEncryption, LinkKind, Reason, TransitRule, UnknownPaths
from hansa_control.domain.route_reasons import explain_no_route
from hansa_control.domain.routing import RouteKey, find_latency
from hansa_control.domain.snapshot import attachment_of, build_network
from hansa_control.domain.transit import format_transit_rule, link_faults, node_fault

NORDIC = frozenset({"NO", "SE"})
SECRET = TransitRule(NORDIC, encryption_required=True)
LENIENT = TransitRule(NORDIC, frozenset({"cheapnet"}), unknown_paths=UnknownPaths.ACCEPT_ENCRYPTED)
UNKNOWN, NONE, ENCRYPTED = LinkEncryption.UNKNOWN, LinkEncryption.NONE, LinkEncryption.ENCRYPTED


@pytest.mark.parametrize(
    ("encryption", "found"),
    [
        (ENCRYPTED, []),
        (NONE, [(Reason.TRANSIT_DENIED, "not encrypted")]),
        (UNKNOWN, [(Reason.TRANSIT_UNKNOWN, "encryption unknown")]),
    ],
)
def test_a_link_must_be_known_to_be_encrypted(encryption: LinkEncryption, found: list[tuple[Reason, str]]) -> None:
    faults = link_faults(SECRET, link("a", "b", encryption=encryption))
    assert [(fault.reason, fault.describe()) for fault in faults] == found
    assert link_faults(TransitRule(NORDIC), link("a", "b", encryption=encryption)) == ()


def test_an_attachment_is_on_the_owners_premises_unless_it_says_that_it_is_not_encrypted() -> None:
    attachment = attachment_of(zone())
    assert link_faults(SECRET, attachment) == ()
    bare = replace(attachment, encryption=NONE)
    assert [fault.reason for fault in link_faults(SECRET, bare)] == [Reason.TRANSIT_DENIED]


@pytest.mark.parametrize("kind", [LinkKind.TERRESTRIAL, LinkKind.SEA_CABLE])
def test_no_other_kind_of_link_is_excused(kind: LinkKind) -> None:
    assert [x.reason for x in link_faults(SECRET, link("a", "b", kind=kind))] == [Reason.TRANSIT_UNKNOWN]


@pytest.mark.parametrize("unknown", [{"countries": None}, {"carrier": ""}])
def test_what_is_unknown_of_a_link_is_accepted_only_where_it_is_encrypted(unknown: dict[str, object]) -> None:
    assert link_faults(LENIENT, link("a", "b", encryption=ENCRYPTED, **unknown)) == ()
    for encryption in (UNKNOWN, NONE):
        found = link_faults(LENIENT, link("a", "b", encryption=encryption, **unknown))
        assert [fault.reason for fault in found] == [Reason.TRANSIT_UNKNOWN]
        assert [fault.describe() for fault in found] == [f"{next(iter(unknown))} unknown"]
        assert found[0].place == f"link a--b, carrier {unknown.get('carrier', 'nordnett') or 'unknown'}"
    strict = replace(LENIENT, unknown_paths=UnknownPaths.REJECT)
    found = link_faults(strict, link("a", "b", encryption=ENCRYPTED, **unknown))
    assert [fault.reason for fault in found] == [Reason.TRANSIT_UNKNOWN]


def test_encryption_excuses_no_country_and_no_carrier_that_is_denied() -> None:
    found = link_faults(LENIENT, link("a", "b", countries=("RU",), carrier="cheapnet", encryption=ENCRYPTED))
    assert [fault.describe() for fault in found] == ["crosses RU", "carried by cheapnet"]
    assert {fault.reason for fault in found} == {Reason.TRANSIT_DENIED}


def test_a_node_of_unknown_country_is_never_crossed() -> None:
    fault = node_fault(LENIENT, node("x", None))
    assert fault is not None
    assert (fault.reason, fault.describe()) == (Reason.TRANSIT_UNKNOWN, "countries unknown")


def test_a_country_may_be_denied_without_an_allow_list() -> None:
    rule = TransitRule(None, countries_denied=frozenset({"RU"}))
    assert node_fault(rule, node("x", "FI")) is None
    fault = node_fault(rule, node("x", "RU"))
    assert fault is not None
    assert (fault.reason, fault.describe()) == (Reason.TRANSIT_DENIED, "crosses RU")
    assert [fault.countries for fault in link_faults(rule, link("a", "b", countries=("RU", "FI")))] == [("RU",)]


def test_the_rule_reads_in_full() -> None:
    full = TransitRule(NORDIC, frozenset({"x"}), frozenset({"SE"}), True, UnknownPaths.ACCEPT_ENCRYPTED)
    assert format_transit_rule(full) == (
        "{NO,SE} but not {SE} without carriers {x}, encrypted links, unknown links if encrypted"
    )
    assert format_transit_rule(TransitRule(frozenset())) == "no country"


def test_two_links_alike_but_for_encryption_are_told_apart_by_routing() -> None:
    secret = [replace(one, encryption=ENCRYPTED) for one in LINKS]
    bare = [replace(one, encryption=NONE) if one.name == "umea--bodo" else one for one in secret]
    key, bodo = RouteKey(replace(SECRET, countries_allowed=None), 50, "oslo"), zone(at="bodo")
    assert find_latency(build_network(1, NODES, secret), key, bodo) is not None
    network = build_network(1, NODES, bare)
    assert find_latency(network, key, bodo) is None
    reason, faults = explain_no_route(network, key, bodo)
    assert (reason, [fault.describe() for fault in faults]) == (Reason.TRANSIT_DENIED, ["not encrypted"])
