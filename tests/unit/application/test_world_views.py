"""What an operator sees: snapshots that are kept until something changes, and what of them changes then."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hansa_control.application import joined_network
from hansa_control.application.ports import StoredOffer, Table
from hansa_control.domain.model import (
    Capacity,
    FactKind,
    NetworkLink,
    NetworkNode,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.network import build_network
from own_zones import (
    GOTEBORG,
    LINKS,
    NODES,
    OPERATOR,
    OSLO,
    PARTNER,
    OwnZones,
    fact,
    instance,
    inventory,
    link,
    node,
    own_zones,
    partner_zone,
    probe,
    two_operators,
    with_oslo,
)

MINE, THERE, PARTNERS = ZoneId(OPERATOR, OSLO), ZoneId(OPERATOR, GOTEBORG), ZoneId(PARTNER, "malmo-9")
SITE = fact(FactKind.SITE_COUNTRY, "NO")
Act = Callable[[OwnZones], Coroutine[Any, Any, object]]


async def heard(operator: OwnZones) -> None:
    operator.pass_ms(2_000, heard=[OSLO, GOTEBORG])


async def silence(operator: OwnZones) -> None:
    operator.pass_ms(operator.plane.settings.quiet_after_ms)


async def partner_heard(operator: OwnZones) -> None:
    operator.plane.partners.heard(PARTNER)


async def greeted_again(operator: OwnZones) -> None:
    operator.greet(OSLO, "boot-2")


# --- one snapshot until something changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("act", [heard, partner_heard, greeted_again])
async def test_what_changes_nothing_that_is_seen_leaves_the_very_same_snapshot(act: Act) -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot()
    await act(operator)
    assert operator.plane.world.snapshot() is before


@pytest.mark.parametrize(
    "act",
    [
        silence,
        lambda operator: operator.hold(),
        lambda operator: operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE),
        lambda operator: operator.say(OSLO, "inventory", inventory(cordoned=True)),
        lambda operator: operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000)),
        lambda operator: operator.connect("hamburg-1", "hamburg"),
        lambda operator: operator.federate(("zones/lund-9", partner_zone("lund-9"))),
        lambda operator: operator.federate(("nodes/lund", node("lund", "SE", 55.7))),
        lambda operator: operator.plane.partners.offered(PARTNER, [], ["zones/malmo-9"]),
        lambda operator: operator.plane.agents.adverts(OSLO, [], ["inventory"]),
    ],
    ids=["silence", "hold", "fact", "cordon", "probe", "zone", "offer", "node", "withdrawn", "removed"],
)
async def test_what_changes_something_makes_a_later_snapshot_and_leaves_the_former_as_it_was(act: Act) -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot()
    zones, probes = before.zones, before.probes
    operator.clock.now_ms += 5
    await act(operator)
    after = operator.plane.world.snapshot()
    assert after is not before
    assert after.generation > before.generation
    assert after.taken_at_ms > before.taken_at_ms
    assert (before.zones, before.probes) == (zones, probes)
    assert (after.zones, after.probes, after.nodes) != (zones, probes, before.nodes)


async def test_instances_that_change_no_claim_change_no_snapshot() -> None:
    operator = await two_operators()
    grant = await operator.serving(replicas=2)
    before = operator.plane.world.snapshot()
    await operator.report(replace(instance(grant), restarts=3, message="restarted"))
    assert operator.plane.world.snapshot() is before


async def test_a_snapshot_is_numbered_when_somebody_asks_for_it_and_not_before() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot().generation
    for number in range(3):
        await operator.say(OSLO, f"facts/SITE_COUNTRY/{number}", SITE)
    assert operator.plane.world.snapshot().generation == before + 1


async def test_numbers_of_snapshots_go_on_after_a_restart() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot().generation
    await operator.plane.state.commit()
    again = await operator.crash_and_restart()
    assert again.plane.world.snapshot().generation == before + 1


# --- zones ----------------------------------------------------------------------------------------------------------


async def test_own_and_partners_zones_are_in_the_snapshot_by_name() -> None:
    operator = await two_operators()
    assert [zone.id for zone in operator.plane.world.snapshot().zones] == [THERE, MINE, PARTNERS]
    assert operator.plane.world.zone_names() == (GOTEBORG, OSLO)


async def test_an_agent_without_an_inventory_is_no_zone() -> None:
    operator = await own_zones()
    operator.greet(OSLO)
    await operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE)
    assert operator.plane.world.own_zones() == ()
    await operator.say(OSLO, "inventory", inventory())
    assert operator.zone().facts == (SITE,)


async def test_a_zones_generation_grows_with_its_content_and_with_nothing_else() -> None:
    operator = await two_operators()
    generations = [operator.zone().generation]
    await operator.say(OSLO, "inventory", inventory(), etag="e9")
    generations.append(operator.zone().generation)
    await operator.say(OSLO, "inventory", inventory(title="New"))
    generations.append(operator.zone().generation)
    await operator.say(GOTEBORG, "inventory", inventory("goteborg", title="Other"))
    generations.append(operator.zone().generation)
    await operator.hold()
    generations.append(operator.zone().generation)
    assert [later - generations[0] for later in generations] == [0, 0, 1, 1, 2]


async def test_a_zone_that_did_not_change_is_the_very_same_value_in_the_next_snapshot() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot()
    await operator.say(OSLO, "inventory", inventory(title="New"))
    after = operator.plane.world.snapshot()
    assert after.zone(THERE) is before.zone(THERE)
    assert after.zone(PARTNERS) is before.zone(PARTNERS)
    assert after.zone(MINE) != before.zone(MINE)


async def test_facts_are_in_the_order_of_their_names_in_whichever_order_they_came() -> None:
    operator = await with_oslo()
    parents = [fact(FactKind.ULTIMATE_PARENT_COUNTRY, country) for country in ("NO", "SE")]
    for number in (1, 0):
        await operator.say(OSLO, f"facts/ULTIMATE_PARENT_COUNTRY/{number}", parents[number])
    await operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE)
    assert operator.zone().facts == (SITE, *parents)


async def test_claims_reduce_what_is_free_and_never_what_there_is() -> None:
    operator = await with_oslo()
    total = operator.zone().inventory.capacity
    await operator.hold("c1", cpu_millis=1_500, memory_mib=100)
    await operator.allocated("c2", cpu_millis=500, memory_mib=200)
    zone = operator.plane.world.snapshot().zone(MINE)
    assert zone is not None
    assert zone.free == Capacity(2_000, total.memory_mib - 300, total.accelerators)
    assert zone.inventory.capacity == total


async def test_claims_of_a_zone_are_in_the_order_of_home_and_name_until_they_are_released() -> None:
    operator = await with_oslo()
    for home, name in ((PARTNER, "b"), (PARTNER, "a"), (OPERATOR, "z")):
        await operator.hold(name, home=home)
    claims = operator.plane.world.claims_in(OSLO)
    assert [(claim.home, claim.name) for claim in claims] == [(OPERATOR, "z"), (PARTNER, "a"), (PARTNER, "b")]
    await operator.release("a")
    assert [claim.name for claim in operator.plane.world.claims_in(OSLO)] == ["z", "b"]
    assert operator.plane.world.claims_in(GOTEBORG) == ()


async def test_own_liveness_is_the_zones_state_and_the_rest_of_it_stands() -> None:
    operator = await with_oslo()
    before = operator.zone()
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    after = operator.zone()
    assert after == replace(before, state=ZoneState.LOST, generation=after.generation)
    assert after.generation == before.generation + 1


# --- the network ----------------------------------------------------------------------------------------------------


async def test_the_network_is_kept_when_only_zones_change() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot().network
    await operator.hold()
    await operator.connect("hamburg-1", "hamburg", SITE)
    await operator.federate(("zones/lund-9", partner_zone("lund-9")))
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert operator.plane.world.snapshot().network is before


async def test_nodes_and_links_of_partners_join_the_operators_own() -> None:
    operator = await two_operators()
    offers = (("nodes/lund", node("lund", "SE", 55.7)), ("links/lund--goteborg", link("lund", "goteborg", PARTNER)))
    await operator.federate(*offers)
    network = operator.plane.world.snapshot().network
    assert {one.name for one in network.nodes} == {one.name for one in NODES} | {"lund"}
    assert {one.name for one in network.links} == {one.name for one in LINKS} | {"lund--goteborg"}
    await operator.plane.partners.offered(PARTNER, [], [name for name, _ in offers])
    assert len(operator.plane.world.snapshot().nodes) == len(NODES)


def slower(one: NetworkLink, us: int) -> NetworkLink:
    return replace(one, rtt=replace(one.rtt, p50_us=us, p95_us=2 * us, p99_us=3 * us))


def as_built_afresh(operator: OwnZones) -> None:
    """The network in view is the one that is built from everything at once."""
    world = operator.plane.world
    bodies = [stored.body for stored in operator.plane.state.offers.values()]
    nodes = [*world.own_nodes, *(body for body in bodies if isinstance(body, NetworkNode))]
    links = [*world.own_links, *(body for body in bodies if isinstance(body, NetworkLink))]
    scratch, network = build_network(1, nodes, links), world.snapshot().network
    assert (network.nodes, network.links, network.dangling) == (scratch.nodes, scratch.links, scratch.dangling)
    assert network.columns.path_us.tolist() == scratch.columns.path_us.tolist()


async def test_a_partners_link_that_changes_is_changed_in_the_network_and_nothing_is_built_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = await two_operators()
    laid = link("lund", "goteborg", PARTNER)
    await operator.federate(("nodes/lund", node("lund", "SE", 55.7)), (f"links/{laid.name}", laid))
    before = operator.plane.world.snapshot().network
    monkeypatch.setattr(joined_network, "build_network", None)
    await operator.federate((f"links/{laid.name}", slower(laid, 9_000)))
    after = operator.plane.world.snapshot().network
    at = after.link_index[laid.name]
    assert (before.links[at].rtt.p50_us, after.links[at].rtt.p50_us) == (3_000, 9_000)
    assert after.arcs is before.arcs
    assert after.generation > before.generation
    as_built_afresh(operator)


async def test_a_partners_nodes_and_links_come_change_and_go_as_if_all_were_built_afresh() -> None:
    operator = await two_operators()
    laid, dangling = link("lund", "goteborg", PARTNER), link("lund", "kiruna", PARTNER)
    lund, kiruna = node("lund", "SE", 55.7), node("kiruna", "SE", 67.8)
    offers = (
        ((f"links/{laid.name}", laid),),
        (("nodes/lund", lund),),
        ((f"links/{dangling.name}", dangling), (f"links/{laid.name}", slower(laid, 4_000))),
        (("nodes/kiruna", kiruna), ("nodes/lund", node("lund", "DK", 58.7))),
        (("nodes/lund", lund),),
    )
    for step in offers:
        await operator.federate(*step)
        as_built_afresh(operator)
    for name in ("nodes/kiruna", f"links/{laid.name}", "nodes/lund"):
        await operator.plane.partners.offered(PARTNER, [], [name])
        as_built_afresh(operator)
    assert operator.plane.world.snapshot().network.dangling == (dangling.name,)


async def test_offers_that_repeat_what_is_known_leave_the_very_same_network() -> None:
    operator = await two_operators()
    offer = (("nodes/lund", node("lund", "SE", 55.7)),)
    await operator.federate(*offer)
    before = operator.plane.world.snapshot().network
    await operator.federate(*offer)
    assert operator.plane.world.snapshot().network is before


async def test_where_nobody_knows_what_has_changed_the_network_is_built_afresh() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot().network
    operator.plane.world.touch_network()
    after = operator.plane.world.snapshot().network
    assert after is not before
    as_built_afresh(operator)


async def test_of_two_partners_that_offer_one_name_the_first_that_did_stays_whatever_they_are_called() -> None:
    operator = await two_operators()
    world, state = operator.plane.world, operator.plane.state
    world.snapshot()
    lund = {"skargard": node("lund", "SE", 55.7), "blueridge": node("lund", "DE", 55.7)}
    for partner, offered in lund.items():
        key = f"{partner}|nodes/lund"
        state.put(Table.OFFER, key, StoredOffer(partner, "nodes/lund", "e1", offered))
        world.touch_network([key])
        assert world.snapshot().network.node("lund") == lund["skargard"]
        as_built_afresh(operator)
