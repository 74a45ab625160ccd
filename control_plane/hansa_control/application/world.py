"""What this operator sees now: its own zones from adverts and claims, partners' from offers, joined into a snapshot.

The snapshot is built when somebody asks and something has changed, never before; deciding then works on an immutable
value. Liveness is a field of a zone, not a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hansa_control.application.changes import Changes
from hansa_control.application.joined_network import JoinedNetwork
from hansa_control.application.offer_book import OfferBook, offer_key
from hansa_control.application.ports import Clock, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.steadiness import Steadiness
from hansa_control.domain import agent_session, ledger
from hansa_control.domain.agent_session import AgentSession, SessionState
from hansa_control.domain.agreement import ENDING
from hansa_control.domain.disclosure import state_under
from hansa_control.domain.model import (
    Capacity,
    Claim,
    ClaimStatus,
    Fact,
    FederationState,
    InstanceStatus,
    Intake,
    Inventory,
    NetworkLink,
    NetworkNode,
    NodeProbe,
    Origin,
    ProbeResult,
    Refusals,
    Upkeep,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot

_ZONE_STATE = {
    SessionState.ABSENT: ZoneState.LOST,
    SessionState.LIVE: ZoneState.AVAILABLE,
    SessionState.SILENT: ZoneState.SILENT,
    SessionState.LOST: ZoneState.LOST,
}


def advert_key(zone: str, name: str) -> str:
    return f"{zone}|{name}"


def claim_key(home: str, claim: str) -> str:
    return f"{home}|{claim}"


def federation_key(home: str, owner: str) -> str:
    return f"{home}>{owner}"


class World:
    """Joins records and liveness into zones, and zones and network into snapshots."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        clock: Clock,
        network: tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]],
    ) -> None:
        self.settings = settings
        self._joined = JoinedNetwork(state, *network)
        self._state = state
        self._clock = clock
        self.sessions: dict[str, AgentSession] = {}
        self._heard_wall_ms: dict[str, int] = {}
        self._zone_dirty: set[str] = set()
        self._own_zones: dict[str, Zone] = {}
        self._own_by_name: tuple[Zone, ...] | None = None
        self._adverts: dict[str, dict[str, object]] = {}
        self._facts: dict[str, tuple[Fact, ...]] = {}
        self._zone_claims: dict[str, dict[str, Claim]] = {}
        self._home_claims: dict[str, dict[str, Claim]] = {}
        self._claim_changes: dict[str, Changes] = {}
        self.offered = OfferBook(state)
        self._claims_by_name: dict[str, tuple[Claim, ...]] = {}
        self._tallies: dict[str, ledger.Tally] = {}
        self._snapshot: Snapshot | None = None
        self._latest: Snapshot | None = None
        self._measured: Measured | None = None
        self._measured_last: Measured | None = None
        self._partner_zones: tuple[Zone, ...] | None = None
        self._generation = 0
        self._held_against: tuple[tuple[str, int], ...] = ()
        self.steadiness = Steadiness(clock)
        self._began_ms = clock.monotonic_ms()
        self._partner_heard_ms: dict[str, int] = {}
        self._upkeep: dict[str, Upkeep] = {}
        self._partners_drained: tuple[tuple[Zone, ...], frozenset[ZoneId]] = ((), frozenset())
        self._judging: set[str] = set()
        self._partners_judging: tuple[tuple[Zone, ...], frozenset[ZoneId]] = ((), frozenset())
        self.instances: dict[str, dict[str, InstanceStatus]] = {}

    def recover(self) -> None:
        """After loading: every zone that was ever heard has the full time to be heard again."""
        for stored in self._state.adverts.values():
            self._adverts.setdefault(stored.zone, {})[stored.name] = stored.body
            if isinstance(stored.body, InstanceStatus):
                self.instances.setdefault(stored.zone, {})[stored.body.instance] = stored.body
            self._note_judging(stored.zone, stored.name, stored.body)
        for claim in self._state.claims.values():
            self._zone_claims.setdefault(claim.zone, {})[claim_key(claim.home, claim.name)] = claim
            self._home_claims.setdefault(claim.home, {})[claim.name] = claim
            self._tally(claim.zone).count(None, claim)
        self.offered.recover()
        for zone in self._adverts:
            self.sessions[zone] = agent_session.recovered(self._clock.monotonic_ms())
        self._zone_dirty = set(self._adverts)

    # --- changes ---

    def set_session(self, zone: str, session: AgentSession) -> None:
        before = self.sessions.get(zone)
        self.sessions[zone] = session
        self._heard_wall_ms[zone] = self._clock.wall_ms()
        if before is None or before.state != session.state:
            self.touch(zone)

    def advertised(self, zone: str, name: str, body: object | None) -> None:
        """Records the content of an advert; None removes it."""
        held = self._adverts.setdefault(zone, {})
        before = held.pop(name, None) if body is None else held.get(name)
        if body is not None:
            held[name] = body
        self._note_judging(zone, name, body)
        instance = body if isinstance(body, InstanceStatus) else before
        if isinstance(instance, InstanceStatus):
            running = self.instances.setdefault(zone, {})
            running.pop(instance.instance, None)
            if isinstance(body, InstanceStatus):
                running[body.instance] = body
        elif isinstance(body or before, ProbeResult):
            self._snapshot = self._measured = None
        elif not isinstance(body or before, NodeProbe):
            self._measured = None
            self._facts.pop(zone, None)
            self.touch(zone)

    def put_claim(self, claim: Claim) -> None:
        """Keeps a claim; one that is RELEASED is forgotten."""
        key = claim_key(claim.home, claim.name)
        claims = self._zone_claims.setdefault(claim.zone, {})
        self._tally(claim.zone).count(claims.get(key), claim)
        if ledger.holds_capacity(claim.state):
            self._state.put(Table.CLAIM, key, claim)
            claims[key] = self._home_claims.setdefault(claim.home, {})[claim.name] = claim
        else:
            self._state.delete(Table.CLAIM, key)
            claims.pop(key, None)
            self._home_claims.get(claim.home, {}).pop(claim.name, None)
        self.claim_changes(claim.home).note(claim.name)
        self._claims_by_name.pop(claim.zone, None)
        self.touch(claim.zone)

    def set_upkeep(self, zone: str, upkeep: Upkeep) -> bool:
        """What is decided on a zone's taking in workloads, as it is now; whether it was another before."""
        if self._upkeep.get(zone, Upkeep()) == upkeep:
            return False
        self._upkeep[zone] = upkeep
        self.touch(zone)
        return True

    def upkeep(self, zone: str) -> Upkeep:
        """What is decided on a zone's taking in workloads, as it is now."""
        return self.steadiness.seen(zone, self._upkeep.get(zone, Upkeep()))

    def came_back(self, name: str) -> None:
        """A zone of the operator's own, or a partner ("operator>"), was given up and is heard again."""
        self.steadiness.came_back(name)
        self._touch_named(name)

    def release_held_down(self) -> bool:
        """Whoever was held down for coming and going counts again when its time is over; whether anybody does."""
        over = self.steadiness.released()
        for name in over:
            self._touch_named(name)
        return bool(over)

    def _touch_named(self, name: str) -> None:
        if name.endswith(">"):
            self.touch_partners()
        else:
            self.touch(name)

    def unheard_ms(self, operator: str) -> int:
        """For how long a partner has not been heard; after a start, since then."""
        return self._clock.monotonic_ms() - self._partner_heard_ms.get(operator, self._began_ms)

    def drained_zones(self) -> frozenset[ZoneId]:
        """Zones, own and offered, whose owner wants them empty."""
        operator = self.settings.operator
        own = {ZoneId(operator, zone) for zone, one in self._upkeep.items() if one.intake is Intake.DRAINING}
        zones, theirs = self._partners_drained
        if zones is not self.partner_zones():
            zones = self.partner_zones()
            theirs = frozenset(zone.id for zone in zones if zone.upkeep.intake is Intake.DRAINING)
            self._partners_drained = zones, theirs
        return theirs | own

    def _note_judging(self, zone: str, name: str, body: object | None) -> None:
        if name != "inventory":
            return
        self._judging.discard(zone)
        if isinstance(body, Inventory) and body.refusals is not None and body.refusals.judges_tenants:
            self._judging.add(zone)

    def asks_who(self) -> bool:
        """Whether any zone, own or offered, is not for every tenant."""
        return bool(self._judging or self._offers_judging())

    def judges_tenants(self, zone: ZoneId) -> bool:
        """Whether a zone is not for every tenant, so that its owner is to be told whose workload it is."""
        if zone.operator == self.settings.operator:
            return zone.zone in self._judging
        return zone in self._offers_judging()

    def refusals_of(self, zone: ZoneId) -> Refusals | None:
        """What a zone, own or as it is offered, says that it refuses; None where it says nothing or is not known."""
        snapshot = self.snapshot()
        row = snapshot.index.get(zone)
        return None if row is None else snapshot.columns.zones[row].inventory.refusals

    def _offers_judging(self) -> frozenset[ZoneId]:
        seen, found = self._partners_judging
        if (zones := self.partner_zones()) is not seen:
            judging = (zone for zone in zones if zone.inventory.refusals and zone.inventory.refusals.judges_tenants)
            found = frozenset(zone.id for zone in judging)
            self._partners_judging = zones, found
        return found

    def touch(self, zone: str) -> None:
        """The zone is to be looked at afresh by the next snapshot."""
        self._zone_dirty.add(zone)
        self._snapshot = None

    def touch_partners(self) -> None:
        """Zones of partners are to be looked at afresh by the next snapshot."""
        self._snapshot = self._measured = self._partner_zones = None

    def hold_against(self, promises: tuple[tuple[str, int], ...]) -> None:
        """What is held against partners for promises that they broke, thousandths by operator, sorted, none of 0."""
        if promises != self._held_against:
            self._held_against = promises
            self._snapshot = None

    def touch_network(self, offer_keys: Iterable[str] | None = None) -> None:
        """Nodes or links offered under these keys have come, changed or gone; None if nobody knows which."""
        self._snapshot = None
        if offer_keys is None:
            self._joined.forget()
        else:
            self._joined.touch(offer_keys)

    # --- views ---

    @property
    def own_nodes(self) -> tuple[NetworkNode, ...]:
        return self._joined.own_nodes

    @property
    def own_links(self) -> tuple[NetworkLink, ...]:
        return self._joined.own_links

    def owns(self, name: str) -> bool:
        """Whether a node or link (``nodes/oslo``, ``links/oslo--bergen``) is of the operator's own network."""
        return self._joined.owns(name)

    def zone_names(self) -> tuple[str, ...]:
        return tuple(sorted(self._adverts))

    def inventory(self, zone: str) -> Inventory | None:
        body = self._adverts.get(zone, {}).get("inventory")
        return body if isinstance(body, Inventory) else None

    def claims_in(self, zone: str) -> tuple[Claim, ...]:
        """Claims of a zone by home and name; kept until one changes, for everything of a zone goes over them."""
        known = self._claims_by_name.get(zone)
        if known is None:
            held = self._zone_claims.get(zone, {})
            known = self._claims_by_name[zone] = tuple([held[key] for key in sorted(held)])
        return known

    def taken_in(self, zone: str) -> Capacity:
        """What the claims of a zone take together."""
        return self._tally(zone).total()

    def _tally(self, zone: str) -> ledger.Tally:
        tally = self._tallies.get(zone)
        if tally is None:
            tally = self._tallies[zone] = ledger.Tally()
        return tally

    def claims_of(self, home: str) -> Mapping[str, Claim]:
        """What a home operator has in this operator's zones, by name."""
        return self._home_claims.get(home, {})

    def claim_changes(self, home: str) -> Changes:
        """Which claims of a home operator have come, changed or gone, by name."""
        return self._claim_changes.setdefault(home, Changes())

    def claim(self, home: str, claim: str) -> Claim | None:
        return self._state.claims.get(claim_key(home, claim))

    def own_zones(self) -> tuple[Zone, ...]:
        """The operator's own zones that have an inventory, ordered by name."""
        if self._zone_dirty or self._own_by_name is None:
            for zone in sorted(self._zone_dirty):
                built = self._own_zone(zone)
                if built is None:
                    self._own_zones.pop(zone, None)
                else:
                    self._own_zones[zone] = built
            self._zone_dirty.clear()
            self._own_by_name = tuple(self._own_zones[zone] for zone in sorted(self._own_zones))
        return self._own_by_name

    def own_zone(self, name: str) -> Zone | None:
        """One of the operator's own zones; None if there is none of this name that has an inventory."""
        self.own_zones()
        return self._own_zones.get(name)

    def _own_zone(self, zone: str) -> Zone | None:
        inventory = self.inventory(zone)
        if inventory is None:
            return None
        session = self.sessions.get(zone)
        before = self._own_zones.get(zone)
        seen = Zone(
            id=ZoneId(self.settings.operator, zone),
            inventory=inventory,
            free=ledger.free(inventory.capacity, self.taken_in(zone)),
            facts=self._facts_of(zone),
            state=_ZONE_STATE[session.state] if session else ZoneState.LOST,
            generation=before.generation if before else 1,
            heard_at_ms=0,
            upkeep=self.upkeep(zone),
        )
        if before is None or before == seen:
            return before or seen
        return replace(seen, generation=seen.generation + 1)

    def _facts_of(self, zone: str) -> tuple[Fact, ...]:
        """The facts of a zone by name; kept until one changes, as claims of the zone change more often."""
        known = self._facts.get(zone)
        if known is None:
            adverts = sorted(self._adverts[zone].items())
            known = self._facts[zone] = tuple(body for _, body in adverts if isinstance(body, Fact))
        return known

    def partner_zones(self) -> tuple[Zone, ...]:
        """Partners' zones as offered; those of a partner that is not heard are STALE."""
        if self._partner_zones is None:
            self._partner_zones = tuple(
                self._seen_from_home(stored.operator, stored.body)
                for stored in self.offered.zones()
                if isinstance(stored.body, Zone)
            )
        return self._partner_zones

    def partner_zone(self, zone: ZoneId) -> Zone:
        """One of those; KeyError if there is none of this name."""
        return self._seen_from_home(zone.operator, self.offered.zone(zone))

    def origin_of(self, zone: ZoneId) -> Origin | None:
        """Where a partner's zone comes from, if the partner does not own it."""
        return self.offered.zone(zone).origin if self.offered.has_zone(zone) else None

    def _seen_from_home(self, operator: str, zone: Zone) -> Zone:
        federation = self._state.federations.get(federation_key(self.settings.operator, operator))
        is_heard = federation is not None and federation.state is FederationState.ACTIVE
        state = state_under(federation.standing, zone.state) if federation and is_heard else ZoneState.STALE
        upkeep = self.steadiness.seen(f"{operator}>", zone.upkeep)
        if state is zone.state and upkeep is zone.upkeep:
            return zone
        return replace(zone, state=state, upkeep=upkeep)

    def is_to_be_left(self, operator: str) -> bool:
        """Whether what runs at an operator must go elsewhere, since the agreement with it is ending."""
        federation = self._state.federations.get(federation_key(self.settings.operator, operator))
        return bool(federation and federation.standing and federation.standing.state in ENDING)

    def heard_at_ms(self, zone: ZoneId) -> int:
        """When the zone's agent, or the partner that offers it, was last heard; wall clock, 0 if never."""
        key = zone.zone if zone.operator == self.settings.operator else f"{zone.operator}>"
        return self._heard_wall_ms.get(key, 0)

    def heard_partner(self, operator: str) -> None:
        self._heard_wall_ms[f"{operator}>"] = self._clock.wall_ms()
        self._partner_heard_ms[operator] = self._clock.monotonic_ms()

    def probes(self) -> tuple[ProbeResult, ...]:
        """What the operator's own agents measured, ordered by source and target."""
        return tuple(
            body
            for zone in sorted(self._adverts)
            for _, body in sorted(self._adverts[zone].items())
            if isinstance(body, ProbeResult)
        )

    def node_probes(self) -> tuple[NodeProbe, ...]:
        """What the operator's own agents measured to nodes of the network, ordered by source and node."""
        return tuple(
            body
            for zone in sorted(self._adverts)
            for _, body in sorted(self._adverts[zone].items())
            if isinstance(body, NodeProbe)
        )

    def snapshot(self) -> Snapshot:
        """The world as it is now. The same object until something changes; the network is kept until it changes."""
        if self._snapshot is None:
            self._generation = self._state.next_count("snapshot")
            zones = [*self.own_zones(), *self.partner_zones()]
            self._snapshot = self._latest = self._assembled(zones)
        return self._snapshot

    def _assembled(self, zones: list[Zone]) -> Snapshot:
        """A snapshot of these zones that keeps what was worked out for the one before and still holds."""
        network, measured = self._joined.current(self._generation), self._current_probes(zones)
        now_ms = self._clock.wall_ms()
        if self._latest is None:
            first = assemble_snapshot(self._generation, zones, network, measured, now_ms)
            checked = self.settings.places_checked
            return replace(first, own=self.settings.operator, places_checked=checked, promises=self._held_against)
        later = self._latest.updated(self._generation, zones, now_ms, network, measured)
        return later if later.promises == self._held_against else replace(later, promises=self._held_against)

    def _current_probes(self, zones: list[Zone]) -> Measured:
        if self._measured is None:
            before, found = self._measured_last, Measured.between(self.probes(), zones)
            # What follows from measurements is kept with them, so the same ones stay the same object.
            if before is not None and (before.probes, before.floors) == (found.probes, found.floors):
                found = before
            self._measured = self._measured_last = found
        return self._measured

    def claim_status(self, owner: str, claim: str) -> ClaimStatus | None:
        """What the owner last said of a claim of ours; None if it has not said anything yet."""
        if owner == self.settings.operator:
            held = self.claim(owner, claim)
            return status_of(held) if held else None
        stored = self._state.offers.get(offer_key(owner, f"claims/{claim}"))
        return stored.body if stored and isinstance(stored.body, ClaimStatus) else None


def status_of(claim: Claim) -> ClaimStatus:
    """What is said of a claim to the home operator."""
    return ClaimStatus(
        claim.name, claim.state, claim.replicas_ready, claim.endpoint_urls, claim.message, claim.fencing_token
    )
