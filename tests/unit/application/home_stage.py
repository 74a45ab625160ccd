"""A home operator between two partners that the test plays by hand, with its clock, its store and its app team."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import (
    HoldRequest,
    OwnerUnreachable,
    RefusalError,
    Refused,
    StoredAdvert,
    StoredOffer,
)
from hansa_control.application.settings import Settings
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    Capacity,
    ClaimState,
    ClaimStatus,
    Condition,
    ConstraintResult,
    Decision,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Federation,
    FederationState,
    HoldGrant,
    Inventory,
    Manifest,
    NetworkLink,
    NetworkNode,
    OnChange,
    Reason,
    Rejection,
    ResidencyPolicy,
    SiteRule,
    Upkeep,
    Workload,
    WorkloadId,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from home_operator import ARTEFACT, HOME, IN_FORCE, OWNER, YARD, CountedIds, HandClock, spec

OTHER = "havnby"
TEAM = "spiffe://harbour.example/app"
KEY = str(YARD)
NODES = (NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True),)
OFFER_TTL_MS = 6_000
URL = "https://10.0.0.9:8443"


class Fuse:
    """Counts the steps of whoever takes them and lets nobody past the one at which it is set to blow."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.blown = asyncio.Event()

    async def step(self) -> None:
        if self.left is None:
            return
        if self.left <= 0:
            self.blown.set()
            await asyncio.Event().wait()
        self.left -= 1


class Chance(CountedIds):
    """Ids in order, and a jitter that the test chooses."""

    share = 0.5

    def fraction(self) -> float:
        return self.share


@dataclass
class OwnerByScript:
    """A partner's zones: grants what it is asked for unless it is told to refuse or not to answer; keeps what it gave.

    ``silent`` and ``refusals`` are by verb: "hold", "confirm", "release".
    """

    operator: str
    fuse: Fuse
    silent: set[str] = field(default_factory=set)
    refusals: dict[str, RefusalError] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()
    held: list[HoldRequest] = field(default_factory=list)
    confirmed: list[tuple[str, int, Manifest]] = field(default_factory=list)
    released: list[tuple[str, Reason]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        self.held.append(request)
        await self._answer("hold")
        if self.rejections:
            return Refused(self.rejections)
        self.taken.add(request.claim)
        await self.fuse.step()
        return HoldGrant(request.claim, len(self.held), request.lease_ms, "")

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        self.confirmed.append((claim, fencing_token, manifest))
        await self._answer("confirm")
        await self.fuse.step()
        return ClaimStatus(claim, ClaimState.ALLOCATED, 0, (), "ordered", fencing_token)

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        await self._answer("release")
        self.released.append((claim, reason))
        self.taken.discard(claim)
        await self.fuse.step()
        return ClaimStatus(claim, ClaimState.RELEASED, 0, (), "", 0)

    async def _answer(self, verb: str) -> None:
        await self.fuse.step()
        if verb in self.silent:
            raise OwnerUnreachable(f"{self.operator} does not answer")
        if verb in self.refusals:
            raise self.refusals[verb]

    def refuse(self, zone: str, reason: Reason = Reason.OWNER_REFUSED, measured: str = "no room") -> None:
        result = ConstraintResult("OwnerConsent", measured, "granted", "by hand")
        self.rejections = (Rejection(ZoneId(self.operator, zone), reason, result),)


@dataclass
class Stage:
    """The home operator as it runs now, and everything around it that survives a restart."""

    plane: ControlPlane
    clock: HandClock
    ids: Chance
    store: MemoryStore
    fuse: Fuse
    owners: dict[str, OwnerByScript]
    requests: int = 0
    said: int = 0

    # --- what the app team asks ---

    async def submit(
        self, wanted: WorkloadSpec | None = None, request_id: str = "", name: WorkloadId = YARD, caller: str = TEAM
    ) -> Workload:
        """As the wire does: the payload's digest is that of what is asked."""
        wanted = wanted or spec()
        request_id = request_id or self._request_id()
        return await self.plane.workloads.submit(caller, request_id, name, wanted, f"submit {name} {wanted}")

    async def delete(self, request_id: str = "", etag: str = "", name: WorkloadId = YARD) -> Workload:
        request_id = request_id or self._request_id()
        return await self.plane.workloads.delete(TEAM, request_id, name, etag, f"delete {name} {etag}")

    def _request_id(self) -> str:
        self.requests += 1
        return f"r{self.requests}"

    # --- what partners and agents say ---

    async def offer(self, owner: str, zone: str, cpu_millis: int = 16_000, **changes: Any) -> None:
        """A partner offers a zone; changes are fields of its inventory, or facts, or state."""
        body = Zone(
            id=ZoneId(owner, zone),
            inventory=inventory(
                cpu_millis, **{k: v for k, v in changes.items() if k not in {"facts", "state", "upkeep"}}
            ),
            free=Capacity(cpu_millis, 65_536),
            facts=changes.get("facts", ()),
            state=changes.get("state", ZoneState.AVAILABLE),
            generation=1,
            heard_at_ms=0,
            upkeep=changes.get("upkeep", Upkeep()),
        )
        assert await self.offered(owner, f"zones/{zone}", body) == ()

    async def offered(self, owner: str, name: str, body: Any) -> tuple[tuple[str, str, str], ...]:
        self.said += 1
        return await self.plane.partners.offered(owner, [StoredOffer(owner, name, f"e{self.said}", body)], [])

    async def withdraw(self, owner: str, *names: str) -> None:
        assert await self.plane.partners.offered(owner, [], list(names)) == ()

    async def tell(self, state: ClaimState, message: str = "", at: int = -1) -> None:
        """The owner of a placement tells what has become of its claim."""
        placement = self.workload.placements[at]
        urls = (URL,) if state is ClaimState.SERVING else ()
        status = ClaimStatus(placement.claim, state, len(urls), urls, message, placement.fencing_token)
        await self.offered(placement.zone.operator, f"claims/{placement.claim}", status)

    async def own_zone(self, zone: str, cpu_millis: int = 16_000, **changes: Any) -> None:
        """An agent of the operator's own greets and tells its inventory."""
        self.plane.agents.welcome(zone, "boot-1", self.clock.wall_ms())
        self.plane.agents.heard(zone)
        advert = StoredAdvert(zone, "inventory", "e1", inventory(cpu_millis, **changes))
        assert await self.plane.agents.adverts(zone, [advert], []) == ()

    # --- time ---

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.plane.reconciler.look(KEY)

    async def rest(self) -> None:
        """Lets the reconciler look at whatever asked for it, until nothing does."""
        running = asyncio.create_task(self.plane.reconciler.run())
        for _ in range(300):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def after(self, duration_ms: int) -> None:
        """Time passes while every partner is heard, and whoever asked to be woken by then is looked at."""
        self.clock.now_ms += duration_ms
        for owner in self.owners:
            self.plane.partners.heard(owner)
        self.plane.reconciler.tick()
        await self.rest()

    async def restart(self) -> Stage:
        """Another process on what the store has kept; what this one had only in memory is lost."""
        self.fuse.left = None
        store = self.store.reopen()
        plane = _plane(self.plane.settings, store, self.clock, self.ids, self.owners)
        await plane.start()
        return replace(self, plane=plane, store=store)

    # --- what has become of it ---

    @property
    def workload(self) -> Workload:
        return self.plane.queries.workload(YARD)

    @property
    def placed(self) -> list[str]:
        """Zone and state of every placement, oldest first."""
        return [f"{one.zone} {one.state}" for one in self.workload.placements]

    @property
    def decision(self) -> Decision:
        return self.plane.state.recent_decisions[KEY].decision

    def condition(self, kind: str) -> Condition:
        return next(one for one in self.workload.conditions if one.type == kind)

    def conditions(self) -> dict[str, str]:
        return {one.type: one.status.value for one in self.workload.conditions}

    def events(self) -> list[str]:
        return [event.reason for event in self.plane.queries.events(YARD, 0)]

    def event(self, reason: str) -> str:
        """The message of the last event of a reason."""
        return [event.message for event in self.plane.queries.events(YARD, 0) if event.reason == reason][-1]


def inventory(cpu_millis: int = 16_000, **changes: Any) -> Inventory:
    capacity = Capacity(cpu_millis, 65_536)
    plain = Inventory("oslo", "Oslo", capacity, (), (ARTEFACT,), "", 100, "file", cordoned=False)
    return replace(plain, **changes)


def site_fact(country: str, until_ms: int) -> Fact:
    """Where a zone is, believed until a monotonic time of the hand clock."""
    valid_until_ms = HandClock().wall_ms() - HandClock().monotonic_ms() + until_ms
    evidence = Evidence(EvidenceKind.DECLARATION, OWNER, "declaration", 1, valid_until_ms, "")
    return Fact(FactKind.SITE_COUNTRY, country, evidence)


def norwegian(on_change: OnChange = OnChange.DRAIN) -> WorkloadSpec:
    policy = ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=on_change)
    return replace(spec(), residency=policy)


def _plane(
    settings: Settings, store: MemoryStore, clock: HandClock, ids: Chance, owners: dict[str, OwnerByScript]
) -> ControlPlane:
    links: tuple[NetworkLink, ...] = ()
    return ControlPlane(settings, (NODES, links), Surroundings(store, clock, ids, dict(owners)))


async def home_stage(**changes: Any) -> Stage:
    """A started home operator, federated with two partners that offer nothing yet; changes are of its settings."""
    fuse, clock, ids = Fuse(), HandClock(), Chance()
    owners = {name: OwnerByScript(name, fuse) for name in (OWNER, OTHER)}
    store = MemoryStore(fuse.step)
    settings = Settings(HOME, partners=frozenset(owners), **changes)
    plane = _plane(settings, store, clock, ids, owners)
    await plane.start()
    for name in owners:
        context = (f"context-{name}", FederationState.ACTIVE, OFFER_TTL_MS, name.encode())
        federation = Federation(HOME, name, *context, IN_FORCE, OURS)
        await plane.partners.federated(federation)
    return Stage(plane, clock, ids, store, fuse, owners)


async def placed_stage(wanted: WorkloadSpec | None = None, zones: Iterable[str] = ("oslo-9",), **law: Any) -> Stage:
    """The workload answers in the first of the zones of one partner; the others, dearer, are free."""
    stage = await home_stage()
    for at, zone in enumerate(zones):
        await stage.offer(OWNER, zone, price_millieur_per_hour=100 + at, **law)
    await stage.submit(wanted)
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    return stage


async def stage_with_a_spare(wanted: WorkloadSpec | None = None, country: str = "NO") -> Stage:
    """The workload answers in skargard's zone; havnby's is free."""
    stage = await placed_stage(wanted, facts=(site_fact("NO", 60_000),))
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=200, facts=(site_fact(country, 600_000),))
    return stage
