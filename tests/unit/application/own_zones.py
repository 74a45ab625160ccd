"""An operator with several zones, all of whose agents the test plays by hand, and homes that ask it for capacity.

oslo (NO) --- goteborg (SE) --- hamburg (DE)        island (NO), which nothing reaches
   \\--- nowhere (country unknown)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import AdvertBody, HoldRequest, OfferBody, Refused, StoredAdvert, StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    Capacity,
    Claim,
    ClaimState,
    ClaimStatus,
    DesiredInstance,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Federation,
    FederationState,
    HoldGrant,
    InstanceState,
    InstanceStatus,
    Inventory,
    LatencyBasis,
    LatencyBudget,
    LinkKind,
    Manifest,
    NetworkLink,
    NetworkNode,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from home_operator import ARTEFACT, IN_FORCE, CountedIds, HandClock

OPERATOR, PARTNER = "nordavind", "skargard"
OSLO, GOTEBORG = "oslo-1", "goteborg-1"
MANIFEST = Manifest("tenants/harbour/workloads/yard-ocr", b"ca", ("harbour-app",))
L4 = AcceleratorPool("nvidia", "L4", 23_034, 4)
NEEDS_L4 = AcceleratorNeed(("L4",), 1, 16_000)
SETTINGS = Settings(OPERATOR, partners=frozenset({PARTNER}))
WALL_START_MS = 1_800_000_000_000


def node(name: str, country: str | None, latitude_deg: float, access_point: bool = True) -> NetworkNode:
    return NetworkNode(name, name.title(), country, latitude_deg, 10.0, access_point)


def link(node_a: str, node_b: str, carrier: str = OPERATOR) -> NetworkLink:
    rtt = RoundTrip(3_000, 4_000, 5_000, LatencyBasis.MODELLED)
    return NetworkLink(f"{node_a}--{node_b}", node_a, node_b, 300_000, rtt, (), carrier, LinkKind.TERRESTRIAL)


NODES = (
    node("oslo", "NO", 59.9),
    node("goteborg", "SE", 57.7),
    node("hamburg", "DE", 55.5),
    node("nowhere", None, 59.0),
    node("island", "NO", 61.0),
    node("exchange", "SE", 58.0, access_point=False),
)
LINKS = (link("oslo", "goteborg"), link("goteborg", "hamburg"), link("oslo", "nowhere"))


def inventory(at: str = "oslo", **changes: Any) -> Inventory:
    capacity = Capacity(4_000, 8_192, ((L4.key, L4.count),))
    plain = Inventory(at, at.title(), capacity, (L4,), (ARTEFACT,), f"{at}.test:862", 100, "file", cordoned=False)
    return replace(plain, **changes)


def fact(kind: FactKind, value: str, *, until_ms: int = 1 << 50) -> Fact:
    return Fact(kind, value, Evidence(EvidenceKind.REGISTER, "register", "extract", 1, until_ms, ""))


def probe(source: ZoneId, target: ZoneId, rtt_us: int) -> ProbeResult:
    rtt = RoundTrip(rtt_us, rtt_us, rtt_us, LatencyBasis.MEASURED, 1_000, WALL_START_MS)
    return ProbeResult(source, target, rtt, rtt_us, 10, 0)


def need(**changes: Any) -> WorkloadSpec:
    """One replica of a quarter of a zone, from oslo, under no law."""
    access = (AccessDemand("oslo", 1_000),)
    plain = WorkloadSpec(ARTEFACT, None, 1_000, 512, 1, access, LatencyBudget(95, 50_000), ResidencyPolicy())
    return replace(plain, **changes)


def instance(grant: HoldGrant, state: InstanceState = InstanceState.READY, replica: int = 0) -> InstanceStatus:
    """What an agent says of an instance that it runs for a claim."""
    name = f"{grant.claim}-{grant.fencing_token}-{replica}"
    url = f"https://{name}.test" if state is InstanceState.READY else ""
    return InstanceStatus(name, grant.claim, state, url, 0, f"{name} is {state.lower()}", grant.fencing_token, 1)


def advert(zone: str, name: str, body: AdvertBody, etag: str = "e1") -> StoredAdvert:
    return StoredAdvert(zone, name, etag, body)


def granted(outcome: HoldGrant | Refused) -> HoldGrant:
    assert isinstance(outcome, HoldGrant), outcome
    return outcome


def reasons(outcome: HoldGrant | Refused) -> list[Reason]:
    assert isinstance(outcome, Refused), outcome
    return [rejection.reason for rejection in outcome.rejections]


@dataclass
class OwnZones:
    """The operator, its clock and its store."""

    plane: ControlPlane
    clock: HandClock
    store: MemoryStore

    # --- what agents say ---

    async def connect(self, zone: str, at: str = "oslo", *facts: Fact, **changes: Any) -> None:
        """An agent greets and tells its inventory and facts."""
        self.greet(zone)
        await self.say(zone, "inventory", inventory(at, **changes))
        for number, one in enumerate(facts):
            await self.say(zone, f"facts/{one.kind}/{number}", one)

    def greet(self, zone: str, boot_id: str = "boot-1") -> None:
        self.plane.agents.welcome(zone, boot_id, self.clock.wall_ms())
        self.plane.agents.heard(zone)

    async def say(self, zone: str, name: str, body: AdvertBody, etag: str = "e1") -> None:
        """One advert, which the operator has to accept."""
        assert await self.plane.agents.adverts(zone, [advert(zone, name, body, etag)], []) == ()

    async def report(self, *running: InstanceStatus, zone: str = OSLO, gone: Iterable[InstanceStatus] = ()) -> None:
        """The zone's agent tells, in one delta, of instances that run and of those that do so no longer."""
        adverts = [advert(zone, f"instances/{one.instance}", one) for one in running]
        assert await self.plane.agents.adverts(zone, adverts, [f"instances/{one.instance}" for one in gone]) == ()

    def take_orders(self, zone: str = OSLO) -> None:
        """The agent has everything that it is to do now, and nothing else."""
        self.plane.agents.order_acked(zone, list(self.plane.agents.orders(zone)))

    def ordered(self, zone: str = OSLO) -> list[str]:
        """Names of the instances that the zone's agent is to run."""
        orders = self.plane.agents.orders(zone).values()
        return [order.instance for order in orders if isinstance(order, DesiredInstance)]

    def pass_ms(self, duration_ms: int, heard: Collection[str] = ()) -> None:
        """Time passes; the agents of these zones are heard at its end, the others are not."""
        self.clock.now_ms += duration_ms
        for zone in heard:
            self.plane.agents.heard(zone)
        self.plane.agents.tick()
        self.plane.partners.tick()
        self.plane.owner.expire_holds()

    # --- what homes ask ---

    async def hold(
        self, claim: str = "c1", zone: str = OSLO, home: str = PARTNER, lease_ms: int = 5_000, **changes: Any
    ) -> HoldGrant | Refused:
        return await self.plane.owner.hold(home, HoldRequest(claim, zone, need(**changes), lease_ms))

    async def confirm(self, grant: HoldGrant, home: str = PARTNER, manifest: Manifest = MANIFEST) -> ClaimStatus:
        return await self.plane.owner.confirm(home, grant.claim, grant.fencing_token, manifest)

    async def release(self, claim: str = "c1", home: str = PARTNER) -> ClaimStatus:
        return await self.plane.owner.release(home, claim, Reason.WORKLOAD_MOVED)

    async def allocated(self, claim: str = "c1", **asked: Any) -> HoldGrant:
        """A confirmed claim whose orders the agent has taken; nothing runs yet."""
        grant = granted(await self.hold(claim, **asked))
        await self.confirm(grant, asked.get("home", PARTNER))
        self.take_orders(asked.get("zone", OSLO))
        return grant

    async def serving(self, claim: str = "c1", **asked: Any) -> HoldGrant:
        """A claim with every replica ready."""
        grant = await self.allocated(claim, **asked)
        replicas = range(asked.get("replicas", 1))
        await self.report(*(instance(grant, replica=at) for at in replicas), zone=asked.get("zone", OSLO))
        return grant

    # --- what is seen ---

    def claim(self, name: str = "c1", home: str = PARTNER) -> Claim:
        held = self.plane.world.claim(home, name)
        assert held is not None
        return held

    def state_of(self, name: str = "c1", home: str = PARTNER) -> ClaimState | None:
        """The claim's state; None once it is forgotten."""
        held = self.plane.world.claim(home, name)
        return held.state if held else None

    def zone(self, name: str = OSLO) -> Zone:
        return next(zone for zone in self.plane.world.own_zones() if zone.id.zone == name)

    def free_cpu(self, zone: str = OSLO) -> int:
        return self.zone(zone).free.cpu_millis

    # --- partners and restarts ---

    async def federate(self, *offers: tuple[str, OfferBody]) -> None:
        """The partner accepts this operator as home and offers these, by name."""
        ttl_ms = SETTINGS.offer_ttl_ms
        federation = Federation(OPERATOR, PARTNER, "context-1", FederationState.ACTIVE, ttl_ms, b"", IN_FORCE, OURS)
        await self.plane.partners.federated(federation)
        stored = [StoredOffer(PARTNER, name, "e1", body) for name, body in offers]
        assert await self.plane.partners.offered(PARTNER, stored, []) == ()

    async def crash_and_restart(self) -> OwnZones:
        """The process dies and another takes up the durable records, on a machine that has just booted."""
        return await own_zones(self.store.reopen(), self.plane.settings)


def partner_zone(name: str = "malmo-9", at: str = "goteborg", **changes: Any) -> Zone:
    capacity = Capacity(16_000, 65_536)
    offered = replace(inventory(at, capacity=capacity, pools=()), probe_address=f"{name}.test:862")
    plain = Zone(ZoneId(PARTNER, name), offered, capacity, (), ZoneState.AVAILABLE, 1, 0)
    return replace(plain, **changes)


async def own_zones(store: MemoryStore | None = None, settings: Settings = SETTINGS) -> OwnZones:
    """A started operator that has heard of no zone yet, or of those that its store remembers."""
    clock, store = HandClock(), store or MemoryStore()
    plane = ControlPlane(settings, (NODES, LINKS), Surroundings(store, clock, CountedIds(), {}))
    await plane.start()
    return OwnZones(plane, clock, store)


async def with_oslo(partners: frozenset[str] = SETTINGS.partners, **changes: Any) -> OwnZones:
    """An operator with the one zone oslo-1: 4 cores, 8 GiB, four L4."""
    operator = await own_zones(settings=replace(SETTINGS, partners=partners))
    await operator.connect(OSLO, "oslo", **changes)
    return operator


async def two_operators() -> OwnZones:
    """Own zones in oslo and goteborg, and the partner's malmo-9."""
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.federate(("zones/malmo-9", partner_zone()))
    return operator
