"""The owner's network as partners are shown it: abstract where that is agreed, steady, and told of nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hansa_control.adapters.codec_federation import hold_response_out
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, InPlace, Surroundings
from hansa_control.application.ports import HoldRequest, OfferBody, Refused, StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.agreement import (
    Agreement,
    Disclosure,
    NetworkShown,
    PlaceShown,
    PriceList,
    Stance,
)
from hansa_control.domain.disclosure import UNDISCLOSED
from hansa_control.domain.model import (
    AccessDemand,
    HoldGrant,
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    ZoneId,
)
from hansa_control.domain.units import modelled_link_rtt
from home_operator import HOME, OWNER, CountedIds, HandClock, spec
from home_stage import OTHER, home_stage, inventory, site_fact

ABSTRACT = Agreement(network=NetworkShown.ABSTRACT)
INSIDE = {"hamar", "karlstad", "oslo--karlstad", "karlstad--tromso", "oslo--hamar", "hamar--tromso"}


def node(name: str, country: str, latitude: float, longitude: float) -> NetworkNode:
    return NetworkNode(name, name.title(), country, latitude, longitude, access_point=True)


def link(node_a: str, node_b: str, length_m: int) -> NetworkLink:
    rtt, name = modelled_link_rtt(length_m), f"{node_a}--{node_b}"
    return NetworkLink(name, node_a, node_b, length_m, rtt, (), OWNER, LinkKind.TERRESTRIAL)


# The shorter way from oslo, where a link to another operator ends, to tromso crosses Sweden.
NODES = (
    node("hamar", "NO", 60.8, 11.07),
    node("karlstad", "SE", 59.4, 13.5),
    node("oslo", "NO", 59.9, 10.7),
    node("tromso", "NO", 69.6, 18.9),
)
LINKS = (
    link("hamar", "tromso", 1_500_000),
    link("karlstad", "tromso", 1_200_000),
    link("oslo", "elsewhere", 50_000),
    link("oslo", "hamar", 150_000),
    link("oslo", "karlstad", 200_000),
)


@dataclass
class Owner:
    """The owner of zones, which agrees with nordavind on what the test says."""

    agreed: dict[str, Stance] = field(default_factory=lambda: {HOME: Stance(ABSTRACT)})

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return self.agreed

    async def start(self) -> Owner:
        settings = Settings(OWNER, endpoint_ca_pem=b"ca", partners=frozenset({HOME, OTHER}))
        clock = HandClock()
        self.plane = ControlPlane(
            settings, (NODES, LINKS), Surroundings(MemoryStore(), clock, CountedIds(), {}, agreements=self)
        )
        await self.plane.start()
        await self.plane.partners.propose(HOME, clock.wall_ms())
        return self

    async def zone(self, name: str, at: str) -> None:
        self.plane.agents.welcome(name, "boot-1", HandClock().wall_ms())
        self.plane.agents.heard(name)
        adverts = [StoredAdvert(name, "inventory", "e1", inventory(node=at))]
        adverts.append(StoredAdvert(name, "facts/SITE_COUNTRY/0", "e2", site_fact("NO", 60_000)))
        assert await self.plane.agents.adverts(name, adverts, []) == ()

    def agree(self, agreement: Agreement) -> None:
        self.agreed = {HOME: Stance(agreement)}

    def offers(self, prefix: str, home: str = HOME) -> dict[str, OfferBody]:
        offers = self.plane.partners.offers(home)
        return {name.partition("/")[2]: body for name, body in offers.items() if name.startswith(prefix)}

    def virtual(self) -> dict[tuple[str, ...] | None, OfferBody]:
        """Virtual links by the countries that they cross."""
        links = (one for one in self.offers("links").values() if isinstance(one, NetworkLink))
        return {one.countries: one for one in links if "elsewhere" not in one.name}

    async def hold(self, wanted: WorkloadSpec) -> HoldGrant | Refused:
        return await self.plane.owner.hold(HOME, HoldRequest("c1", "tromso-1", wanted, 5_000))


async def owner(agreement: Agreement = ABSTRACT) -> Owner:
    stage = Owner()
    stage.agree(agreement)
    await stage.start()
    await stage.zone("tromso-1", "tromso")
    return stage


async def test_gateways_and_nodes_of_offered_zones_are_shown_and_links_that_leave_stay_as_they_are() -> None:
    stage = await owner()
    assert set(stage.offers("nodes")) == {"oslo", "tromso"}
    assert stage.offers("links")["oslo--elsewhere"] is LINKS[2]
    assert set(stage.virtual()) == {("SE",), ("NO",)}
    assert len(stage.offers("links")) == 3


async def test_without_a_word_on_it_the_whole_network_is_shown() -> None:
    stage = await owner(Agreement())
    assert set(stage.offers("nodes")) == {one.name for one in NODES}
    assert list(stage.offers("links").values()) == list(LINKS)


async def test_where_nothing_is_agreed_others_traffic_may_go_through_and_no_zone_is_shown() -> None:
    stage = await owner()
    assert set(stage.offers("nodes", OTHER)) == {"oslo"}
    assert set(stage.offers("links", OTHER)) == {"oslo--elsewhere"}


async def test_a_named_gateway_is_shown_and_paths_over_it_are_shown_as_their_parts() -> None:
    stage = await owner(Agreement(network=NetworkShown.ABSTRACT, gateways=("karlstad",)))
    assert set(stage.offers("nodes")) == {"oslo", "tromso", "karlstad"}
    ends = {(one.node_a, one.node_b, one.countries) for one in stage.virtual().values() if isinstance(one, NetworkLink)}
    assert ends >= {("oslo", "tromso", ("NO",)), ("karlstad", "tromso", ())}
    assert ("oslo", "tromso", ("SE",)) not in ends


async def test_a_zone_that_is_not_offered_leaves_its_node_inside_until_something_of_the_partner_runs_there() -> None:
    stage = await owner()
    assert isinstance(await stage.hold(spec()), HoldGrant)
    stage.agree(Agreement(zones=("oslo-*",), network=NetworkShown.ABSTRACT))
    assert set(stage.offers("nodes")) == {"oslo", "tromso"}
    await stage.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    stage.plane.agents.order_acked("tromso-1", set())
    assert set(stage.offers("nodes")) == {"oslo"}


async def test_a_place_that_is_shown_coarsely_is_so_in_an_abstract_network() -> None:
    stage = await owner(Agreement(disclosures=(Disclosure(place=PlaceShown.COARSE),), network=NetworkShown.ABSTRACT))
    shown = stage.offers("nodes")["tromso"]
    assert isinstance(shown, NetworkNode)
    assert (shown.latitude_deg, shown.coarse, shown.title, shown.country) == (69.5, True, "", "NO")
    assert set(stage.virtual()) == {("SE",), ("NO",)}


async def test_while_nothing_of_the_network_changes_the_same_objects_are_offered() -> None:
    stage = await owner(Agreement(disclosures=(Disclosure(place=PlaceShown.COARSE),), network=NetworkShown.ABSTRACT))
    before = stage.offers("nodes") | stage.offers("links")
    assert isinstance(await stage.hold(spec()), HoldGrant)
    after = stage.offers("nodes") | stage.offers("links")
    assert [after[name] is one for name, one in before.items()] == [True] * len(before)


async def test_another_price_or_zone_leaves_the_links_that_were_there() -> None:
    stage = await owner()
    before = stage.offers("links")
    await stage.zone("karlstad-1", "karlstad")
    stage.agree(Agreement(network=NetworkShown.ABSTRACT, prices=PriceList("EUR")))
    after = stage.offers("links")
    kept = before.keys() & after.keys()
    assert len(kept) == 2  # the path over karlstad is now shown as its parts
    assert all(after[name] is before[name] for name in kept)
    assert set(stage.offers("nodes")) == {"oslo", "tromso", "karlstad"}


async def test_a_refusal_names_nothing_that_is_not_shown() -> None:
    stage = await owner()
    denying = ResidencyPolicy(transit=TransitRule(None, countries_denied=frozenset({"NO"})))
    words = _words(await stage.hold(replace(spec(), residency=denying)))
    assert UNDISCLOSED in words
    assert not [name for name in INSIDE if name in words.replace(",", " ").split()]


def entering(*names: str) -> WorkloadSpec:
    return replace(spec(), access=tuple(AccessDemand(name, 1_000) for name in names))


@pytest.mark.parametrize("others", [(), ("oslo",), ("hamar",), ("zzz", "oslo")])
async def test_a_node_that_is_hidden_is_answered_as_one_that_is_not_there_byte_for_byte(
    others: tuple[str, ...],
) -> None:
    stage, answers = await owner(), dict[str, bytes]()
    # Of the same length; one is hidden, one is near to it, one near to nothing.
    for name in ("karlstad", "karlstat", "qqqqqqqq"):
        outcome = await stage.hold(entering(name, *others))
        assert isinstance(outcome, Refused)
        assert Reason.ACCESS_POINT_UNKNOWN in {one.reason for one in outcome.rejections}
        wire = hold_response_out(outcome).SerializeToString(deterministic=True)
        answers[name] = wire.replace(name.encode(), b"--------")
    assert len(set(answers.values())) == 1
    stage.agree(Agreement())
    assert isinstance(await stage.hold(entering("karlstad")), HoldGrant), "with the whole network it may enter there"


async def test_a_misspelt_name_is_told_the_nearest_that_is_shown_and_no_other() -> None:
    stage = await owner()
    assert "nearest known: tromso" in _words(await stage.hold(entering("tromso2")))
    for name in ("hamarr", "karlstadt"):
        assert "nearest" not in _words(await stage.hold(entering(name)))
    stage.agree(Agreement())
    assert "nearest known: karlstad" in _words(await stage.hold(entering("karlstadt")))


async def test_an_access_point_is_hidden_also_while_virtual_links_are_not_searched_yet() -> None:
    stage = await owner()
    stage.plane.agreements._shown_networks._worker = InPlace()
    stage.agree(Agreement(network=NetworkShown.ABSTRACT, gateways=("hamar",)))
    assert stage.plane.partners.offers(HOME) is None
    assert "karlstad" in _words(await stage.hold(entering("karlstad")))
    assert isinstance(await stage.hold(entering("hamar")), HoldGrant)


def _words(outcome: HoldGrant | Refused) -> str:
    assert isinstance(outcome, Refused)
    return " ".join(word for one in outcome.rejections for word in one.result)


@pytest.mark.parametrize("min_us", [900, 20_000])
async def test_a_zone_that_answers_from_nearer_than_light_allows_is_found_out_in_an_abstract_network(
    min_us: int,
) -> None:
    stage, home = await owner(), await home_stage()
    for name, body in stage.plane.partners.offers(HOME).items():
        if name != "nodes/oslo":  # which home has of its own
            assert await home.offered(OWNER, name, body) == ()
    await home.own_zone("oslo-1", cordoned=True)
    far, rtt = ZoneId(OWNER, "tromso-1"), RoundTrip(min_us, min_us, min_us, LatencyBasis.MEASURED, 1_000)
    probe = ProbeResult(ZoneId(HOME, "oslo-1"), far, rtt, min_us, 1, 0)
    home.plane.world.advertised("oslo-1", "probes/x", probe)
    await home.submit(replace(spec(), residency=ResidencyPolicy(site=SiteRule(frozenset({"NO"})))))
    await home.look()
    found = {one.reason for one in home.decision.rejections if one.zone == far}
    assert found == ({Reason.LOCATION_IMPLAUSIBLE} if min_us == 900 else set())
    assert bool(home.placed) is (min_us != 900)
