"""Waldnetz owns a zone, skargard offers it on, nordavind places in it: three control planes, joined by hand.

Calls pass from one to the other without a wire, offers through the codec and back as over one. Signatures are by real
keys of real authorities; nordavind has no agreement with waldnetz and knows its authority alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from hansa_control.adapters.authority import KeyPair, Role, Subject, Validity, issue, new_authority
from hansa_control.adapters.codec_federation import offer_out, offers_response_in
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.seals import CertificateSeals
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import (
    HoldRequest,
    OwnerUnreachable,
    Refused,
    StoredAdvert,
    StoredOffer,
)
from hansa_control.application.settings import Settings
from hansa_control.domain.agreement import Agreement, Reoffer, Stance
from hansa_control.domain.model import (
    Capacity,
    ClaimStatus,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    HoldGrant,
    InstanceState,
    InstanceStatus,
    Inventory,
    LatencyBasis,
    LinkKind,
    Manifest,
    NetworkLink,
    NetworkNode,
    Reason,
    RoundTrip,
    Workload,
    WorkloadId,
    WorkloadSpec,
)
from home_operator import ARTEFACT, CountedIds, HandClock, spec

from hansa.v1 import federation_service_pb2 as federation_pb2

HOME, BETWEEN, OWNER = "nordavind", "skargard", "waldnetz"
ZONE, ALIAS = "berlin-1", "waldnetz--berlin-1"
YARD = WorkloadId("harbour", "yard-ocr")
TEAM = "spiffe://harbour.example/app"
LATER_MS = 4_000_000_000_000
RTT = RoundTrip(4_000, 4_000, 4_000, LatencyBasis.MODELLED)


def node(name: str, country: str, lat: float, lon: float) -> NetworkNode:
    return NetworkNode(name, name.title(), country, lat, lon, access_point=True)


def link(a: str, b: str, carrier: str) -> NetworkLink:
    return NetworkLink(f"{a}--{b}", a, b, 0, RTT, (), carrier, LinkKind.TERRESTRIAL)


NETWORKS = {
    HOME: ((node("oslo", "NO", 59.9, 10.7),), (link("oslo", "visby", HOME),)),
    BETWEEN: ((node("visby", "SE", 57.6, 18.3),), (link("visby", "rostock", BETWEEN),)),
    OWNER: (
        (node("rostock", "DE", 54.1, 12.1), node("berlin", "DE", 52.5, 13.4)),
        (link("rostock", "berlin", OWNER),),
    ),
}


def fact(kind: FactKind, value: str, until_ms: int = LATER_MS) -> Fact:
    return Fact(kind, value, Evidence(EvidenceKind.DECLARATION, "register", "declaration", 1, until_ms, ""))


def control(country: str, until_ms: int = LATER_MS) -> tuple[Fact, ...]:
    """Headquarters and parent in a country."""
    kinds = (FactKind.HEADQUARTERS_COUNTRY, FactKind.ULTIMATE_PARENT_COUNTRY)
    return tuple(fact(kind, country, until_ms) for kind in kinds)


@cache
def keys(operator: str) -> tuple[bytes, KeyPair]:
    """An operator's authority, and its control plane's certificate."""
    clock = HandClock()
    authority = new_authority(operator, f"{operator}.hansa.example", Validity.of_days(clock.wall_ms(), 30))
    return authority.cert_pem, issue(authority, Subject(Role.CONTROL_PLANE), Validity.of_days(clock.wall_ms(), 30))


def seals_of(operator: str, known: tuple[str, ...]) -> CertificateSeals:
    trusted = (TrustedDomain(one, f"{one}.hansa.example", keys(one)[0]) for one in known)
    return CertificateSeals(keys(operator)[1], PeerVerifier(trusted))


@dataclass
class Agreements:
    """What an operator has agreed with each partner; the test writes it."""

    agreed: dict[str, Stance] = field(default_factory=dict)

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return self.agreed


@dataclass
class Way:
    """The way from a home operator to an owner; nothing is answered while ``is_cut``, and what was asked is noted.

    ``step`` is awaited before a call arrives and before its answer does.
    """

    home: str
    side: Side | None = None
    is_cut: bool = False
    asked: list[str] = field(default_factory=list)
    step: Callable[[], Awaitable[None]] | None = None

    async def _pause(self) -> None:
        if self.step is not None:
            await self.step()

    def _owner(self, verb: str) -> ControlPlane:
        self.asked.append(verb)
        if self.is_cut or self.side is None:
            raise OwnerUnreachable("cut")
        return self.side.plane

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        await self._pause()
        answer = await self._owner("hold").owner.hold(self.home, request)
        await self._pause()
        return answer

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        await self._pause()
        answer = await self._owner("confirm").owner.confirm(self.home, claim, fencing_token, manifest)
        await self._pause()
        return answer

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        await self._pause()
        answer = await self._owner("release").owner.release(self.home, claim, reason)
        await self._pause()
        return answer


@dataclass
class Side:
    """One operator as it runs now, and what survives a restart."""

    name: str
    partner: str
    clock: HandClock
    known: tuple[str, ...]
    legal_facts: tuple[Fact, ...] = ()
    agreements: Agreements = field(default_factory=Agreements)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.way = Way(self.name)

    async def start(self) -> None:
        self.store = self.store.reopen()
        partners = frozenset(self.agreements.agreed) | ({self.partner} if self.partner else set())
        settings = Settings(
            self.name,
            partners=partners,
            known_operators=frozenset(self.known) - partners,
            legal_facts=self.legal_facts,
            endpoint_ca_pem=self.name.encode(),
            authority_pems=tuple((one, one.encode()) for one in sorted(partners | set(self.known))),
        )
        ways = {self.partner: self.way} if self.partner else {}
        self.plane = ControlPlane(
            settings,
            NETWORKS[self.name],
            Surroundings(
                self.store,
                self.clock,
                CountedIds(),
                dict(ways),
                agreements=self.agreements,
                seals=seals_of(self.name, tuple(partners | set(self.known))),
            ),
        )
        await self.plane.start()


@dataclass
class Three:
    """The three operators."""

    home: Side
    between: Side
    owner: Side
    clock: HandClock
    requests: int = 0

    async def federate(self) -> None:
        """Proposals, as a link makes them."""
        for home, owner in ((self.between, self.owner), (self.home, self.between)):
            answered = await owner.plane.partners.propose(home.name, self.clock.wall_ms())
            await home.plane.partners.federated(answered)

    async def advertise(self, *facts: Fact, **changes: object) -> None:
        """The agent of the owner's zone greets and tells its inventory, and facts."""
        self.owner.plane.agents.welcome(ZONE, "boot-1", self.clock.wall_ms())
        self.owner.plane.agents.heard(ZONE)
        capacity = Capacity(16_000, 65_536)
        plain = Inventory("berlin", "Berlin", capacity, (), (ARTEFACT,), "", 100, "file", cordoned=False)
        told = [StoredAdvert(ZONE, "inventory", f"e{changes}", replace(plain, **changes))]  # type: ignore[arg-type]
        told += [StoredAdvert(ZONE, f"facts/{one.kind.value}/0", f"e{one.value}", one) for one in facts]
        assert await self.owner.plane.agents.adverts(ZONE, told, []) == ()

    async def spread(self) -> dict[str, str]:
        """Offers go from the owner to the one between, from there home; what home refuses, field and why by name."""
        refused = await hand_over(self.owner, self.between)
        assert refused == {}, refused
        return await hand_over(self.between, self.home)

    async def follow(self) -> None:
        """The one between looks at what is behind its partners' claims, and what it sees is told home."""
        await self.spread()
        for key in list(self.between.plane.state.relays):
            await self.between.plane.relays.look(key)
        await self.spread()

    async def serve(self) -> Workload:
        """The app team's workload is placed, started and answers; home has seen it."""
        await self.submit()
        await self.look()
        await self.run_orders()
        await self.follow()
        return await self.look()

    async def settle(self) -> None:
        """Whatever was given up is given back, stopped, and seen to be so by everybody."""
        for _ in range(2):
            await self.follow()
            await self.run_orders()
            await self.look_if_any()

    async def look_if_any(self) -> None:
        if str(YARD) in self.home.plane.state.workloads:
            await self.home.plane.reconciler.look(str(YARD))

    async def run_orders(self, state: InstanceState = InstanceState.READY) -> None:
        """The owner's agent runs whatever it is ordered and nothing else, and says so."""
        world, agents = self.owner.plane.world, self.owner.plane.agents
        ordered = {order.instance: order for order in self.owner.plane.owner.desired_instances(ZONE)}
        gone = [f"instances/{name}" for name in world.instances.get(ZONE, {}) if name not in ordered]
        adverts = [
            StoredAdvert(
                ZONE,
                f"instances/{name}",
                f"{state}",
                InstanceStatus(name, order.claim, state, f"https://{name}:1", 0, "", order.fencing_token, 0),
            )
            for name, order in ordered.items()
        ]
        assert await agents.adverts(ZONE, adverts, gone) == ()
        self.owner.plane.owner.on_orders_held(ZONE, [f"instances/{name}" for name in ordered])

    async def submit(self, wanted: WorkloadSpec | None = None) -> Workload:
        self.requests += 1
        plane = self.home.plane
        return await plane.workloads.submit(TEAM, f"r{self.requests}", YARD, wanted or spec(), f"{wanted}")

    async def look(self) -> Workload:
        await self.home.plane.reconciler.look(str(YARD))
        return self.home.plane.queries.workload(YARD)

    def tick(self, duration_ms: int = 0) -> None:
        """Time passes at every operator, while every partner is heard."""
        self.clock.now_ms += duration_ms
        for side in (self.home, self.between, self.owner):
            if side.partner and not side.way.is_cut:
                side.plane.partners.heard(side.partner)
            side.plane.partners.tick()
            side.plane.agreements.tick()
            side.plane.owner.expire_holds()


async def hand_over(owner: Side, home: Side) -> dict[str, str]:
    """What an owner shows goes to a home operator as over the wire; answered is what that refuses."""
    shown = {name: offer_out(name, body) for name, body in owner.plane.partners.offers(home.name).items()}
    held = home.plane.partners.held_offers(owner.name)
    changed = [offer for name, offer in sorted(shown.items()) if held.get(name) != offer.etag]
    delta = federation_pb2.OfferDelta(updated=changed, removed_names=sorted(held.keys() - shown.keys()), nonce="n")
    message = offers_response_in(federation_pb2.OffersResponse(delta=delta), owner.name)
    late = await home.plane.partners.offered(owner.name, message.updated, message.removed)  # type: ignore[union-attr]
    return {name: f"{where}: {why}" for name, where, why in (*message.refusals, *late)}  # type: ignore[union-attr]


async def three_operators(
    reoffer: Reoffer | None = None, passes_on: tuple[str, ...] = ("waldnetz/*",), known: tuple[str, ...] = (OWNER,)
) -> Three:
    """All three run and have heard of one another; the owner's zone has told its inventory and no facts."""
    clock = HandClock()
    permitted = Reoffer(("berlin-*",), (HOME,)) if reoffer is None else reoffer
    owner = Side(OWNER, "", clock, (BETWEEN,), agreements=Agreements({BETWEEN: Stance(Agreement(reoffer=permitted))}))
    between = Side(
        BETWEEN,
        OWNER,
        clock,
        (HOME,),
        legal_facts=control("SE"),
        agreements=Agreements({HOME: Stance(Agreement(passes_on=passes_on))}),
    )
    home = Side(HOME, BETWEEN, clock, known)
    three = Three(home, between, owner, clock)
    for side in (owner, between, home):
        await side.start()
    between.way.side, home.way.side = owner, between
    await three.federate()
    await three.advertise()
    return three


def offer_at_home(three: Three, name: str) -> StoredOffer:
    return three.home.plane.world.offered.of(BETWEEN)[name]
