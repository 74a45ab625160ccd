"""The owner's side: capacity promised, allocated and given back in this operator's own zones.

Called by partners across the wire and by this operator for its own app teams, by the same code. Whoever asks, the
filters run on this operator's own truth; nothing that the caller believes is taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from hansa_control.application.agreements import AgreementDesk
from hansa_control.application.chain_checks import ChainChecks
from hansa_control.application.cut_off import CutOff
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.metering import Meter
from hansa_control.application.origins import OriginDesk
from hansa_control.application.ports import Clock, HoldRequest, RefusalError, Refused, Seals
from hansa_control.application.settings import Settings
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.world import World, claim_key, federation_key, status_of
from hansa_control.domain import ledger
from hansa_control.domain.capacity import amount_for
from hansa_control.domain.feasibility import refusals_of_zone
from hansa_control.domain.grants import Asked, signed_bytes, terms_of
from hansa_control.domain.ledger import ClaimEvent
from hansa_control.domain.model import (
    Capacity,
    Claim,
    ClaimState,
    ClaimStatus,
    ConstraintResult,
    DesiredInstance,
    HoldGrant,
    InstanceState,
    InstanceStatus,
    Manifest,
    Reason,
    Rejection,
    WorkloadId,
    ZoneId,
)
from hansa_control.domain.origin import JOINT
from hansa_control.domain.refusal_filter import handled_data, refused_tenant
from hansa_control.domain.seals import Seal

_ORDERED = frozenset({ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.LOST, ClaimState.FAILED})


class Behind(Protocol):
    """Holds and confirms in zones that this operator offers on; see ``application.relays``."""

    def is_for(self, home: str, zone: str, claim: str) -> bool: ...

    def is_behind(self, home: str, claim: str) -> bool: ...

    async def hold(self, home: str, request: HoldRequest) -> HoldGrant | Refused: ...

    async def confirm(self, home: str, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus: ...


class OwnerService:
    """Applies every change of capacity in the operator's own zones; nobody else does."""

    def __init__(
        self, settings: Settings, records: tuple[State, World], rules: tuple[LawDesk, AgreementDesk], clock: Clock
    ) -> None:
        self.seals: Seals | None = None
        self.behind: Behind | None = None
        self._settings = settings
        self._state, self._world = records
        self._laws, self.agreements = rules
        self._clock = clock
        self.meter = Meter(settings.operator, self._state, clock)
        self.changed = Signal()
        self.on_own_claim: Callable[[str], None] = lambda claim: None
        self.on_freed: Callable[[str], None] = lambda zone: None
        self.on_orders: Callable[[str], None] = lambda zone: None
        self.on_put: Callable[[Claim], None] = lambda claim: None
        self._orders_held: dict[str, frozenset[str]] = {}
        self._open_holds: set[str] = set()
        self._releasing: dict[str, set[str]] = {}
        self._ordered_from: dict[str, int] = {}
        self._orders_of: dict[str, tuple[Claim, bool, tuple[DesiredInstance, ...]]] = {}
        self.origins = OriginDesk(settings, self._world, self.agreements, clock)
        self.chains = ChainChecks(settings, records, clock)
        self.agreements.on_changed = self.changed.notify
        self.agreements.on_ended = self.release_all
        self._cut_off = CutOff(settings.operator, clock)

    # --- what home operators ask ---

    async def hold(self, home: str, request: HoldRequest) -> HoldGrant | Refused:
        """Holds capacity under a lease, durably, or says every reason why not. Idempotent by (home, claim).

        A grant is signed once it is durable, as of that moment: one that is asked for again has the lease that is left.
        """
        if self.behind is not None and self.behind.is_for(home, request.zone, request.claim):
            return await self.behind.hold(home, request)
        self.heard_home(home)
        outcome = self.hold_in_memory(home, request)
        await self._state.commit()
        return self.sealed(home, request, outcome) if isinstance(outcome, HoldGrant) else outcome

    def sealed(self, home: str, request: HoldRequest, grant: HoldGrant) -> HoldGrant:
        """A grant with this operator's signature, as of now, and with the lease that is left."""
        claim, owner = self._world.claim(home, request.claim), self._settings.operator
        federation = self._state.federations.get(federation_key(home, owner))
        if self.seals is None or claim is None or federation is None:
            return grant
        grant = replace(grant, lease_ms=max(0, claim.lease_until_ms - self._clock.monotonic_ms()))
        asked = Asked(owner, home, federation.context_id, claim.name, claim.zone, claim.spec, request.lease_ms)
        terms = terms_of(asked, grant, claim.policy_applied or claim.spec.residency, self._clock.wall_ms())
        return replace(grant, seal=Seal(terms, self.seals.sign(signed_bytes(terms)), claim.policy_applied))

    def hold_in_memory(self, home: str, request: HoldRequest) -> HoldGrant | Refused:
        """The same, durable with the next commit: for this operator's own claims, of which nobody hears before that."""
        self.expire_holds()
        existing = self._world.claim(home, request.claim)
        return self.granted_before(existing, request) if existing else self._grant(home, request)

    def granted_before(self, claim: Claim, request: HoldRequest) -> HoldGrant | Refused:
        """The answer to a hold that was asked for before. RefusalError REQUEST_ID_REUSED if it is another."""
        if (claim.zone, claim.spec) != (request.zone, request.spec):
            raise RefusalError(Reason.REQUEST_ID_REUSED, f"claim {claim.name} exists with other requirements", "claim")
        if claim.state in {ClaimState.RELEASING, ClaimState.LOST, ClaimState.FAILED}:
            return Refused((self._refusal(claim.zone, Reason.HOLD_EXPIRED, f"claim is {claim.state}"),))
        left_ms = max(0, claim.lease_until_ms - self._clock.monotonic_ms())
        return HoldGrant(claim.name, claim.fencing_token, left_ms, claim.pool)

    def _grant(self, home: str, request: HoldRequest) -> HoldGrant | Refused:
        snapshot = self._world.snapshot()
        if (disagreed := self.agreements.refusal(home, request.zone)) is not None:
            return Refused((disagreed,))
        if (denied := self.origins.refusal(home, request.zone, request.spec.on_behalf)) is not None:
            return Refused((denied,))
        zone = self._world.own_zone(request.zone)
        if zone is None:
            raise RefusalError(Reason.NOT_FOUND, f"no zone {request.zone} here", "zone")
        zone = self.agreements.priced(home, zone)
        masked = self.agreements.masked(home, request.spec)
        judged = self._laws.owned(masked.spec)
        if request.tenant and zone.inventory.refusals is not None:
            judged = replace(judged, asker=f"{home}/{request.tenant}")
        rejections, pool = refusals_of_zone(judged, snapshot, zone, self._clock.wall_ms())
        if rejections:
            return Refused(masked.told(self.agreements.told(home, rejections)))
        amount = amount_for(request.spec, pool)
        if excess := self.agreements.excess(home, request.zone, amount):
            return Refused(excess)
        asked = self.new_claim(home, request, pool, amount, 0)
        lacking = ledger.grant(asked, zone.inventory.capacity, self._world.taken_in(zone.id.zone))
        if lacking:
            return Refused((self._refusal(request.zone, Reason.OWNER_REFUSED, f"lacks {', '.join(lacking)}"),))
        token = self._state.next_count(f"fence|{request.zone}")
        applied = judged.residency if judged.residency != request.spec.residency else None
        claim = self.new_claim(home, request, pool, amount, token)
        claim = replace(claim, policy_applied=applied, form=request.spec.form_in(zone.inventory.artefacts))
        self.put(claim)
        return HoldGrant(claim.name, token, claim.lease_until_ms - self._clock.monotonic_ms(), pool)

    def new_claim(self, home: str, request: HoldRequest, pool: str, amount: Capacity, token: int) -> Claim:
        """A claim as it is granted, under a lease from now."""
        lease_ms = min(request.lease_ms, self._settings.hold_lease_ms)
        until_ms = self._clock.monotonic_ms() + lease_ms
        version = self.agreements.version(home)
        return Claim(
            request.claim,
            home,
            request.zone,
            request.spec,
            amount,
            pool,
            ClaimState.HELD,
            token,
            until_ms,
            agreement_version=version,
        )

    def _refusal(self, zone: str, reason: Reason, message: str) -> Rejection:
        result = ConstraintResult("OwnerConsent", message, "granted", f"ledger of {self._settings.operator}")
        return Rejection(ZoneId(self._settings.operator, zone), reason, result)

    async def confirm(self, home: str, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        """Turns a hold into an allocation and orders its instances, or confirms behind it. Idempotent."""
        held = self._world.claim(home, claim)
        if self.behind is not None and held is not None and self.behind.is_for(home, held.zone, claim):
            return await self.behind.confirm(home, claim, fencing_token, manifest)
        return await self.confirm_here(home, claim, fencing_token, manifest)

    async def confirm_here(self, home: str, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        """The same for what is held here, or is confirmed behind."""
        self.expire_holds()
        held = await self.to_confirm(home, claim, fencing_token)
        if held.state is ClaimState.HELD:
            self._check_tenant(held, manifest)
            held = replace(ledger.advance(held, ClaimEvent.CONFIRM), manifest=manifest)
            self.put(held)
            self._ordered_from[claim_key(home, claim)] = self._state.put_count
        elif held.manifest != manifest:
            raise RefusalError(Reason.REQUEST_ID_REUSED, f"claim {claim} was confirmed with another manifest")
        await self._state.commit()
        self.on_orders(held.zone)
        return status_of(held)

    def _check_tenant(self, held: Claim, manifest: Manifest) -> None:
        """RefusalError where what is confirmed is another tenant's than what was held, and the zone refuses it."""
        inventory = self._world.inventory(held.zone)
        refused = refused_tenant(inventory.refusals if inventory else None, _asker(held, manifest))
        if refused is not None:
            reason, asker, bound = refused
            raise RefusalError(reason, f"{asker}, and the zone takes {bound}", "manifest")

    async def to_confirm(self, home: str, claim: str, fencing_token: int) -> Claim:
        """A claim that is to be confirmed; RefusalError HOLD_EXPIRED or FENCED if there is none under this token."""
        held = self._world.claim(home, claim)
        if held is None:
            await self._state.commit()
            raise RefusalError(Reason.HOLD_EXPIRED, f"no hold {claim}: it expired, was released or never was")
        if held.fencing_token != fencing_token:
            raise RefusalError(Reason.FENCED, f"claim {claim} has token {held.fencing_token}, not {fencing_token}")
        return held

    async def release(self, home: str, claim: str, reason: Reason) -> ClaimStatus:
        """Gives up a claim; its capacity is free again when its instances are seen to have stopped."""
        held = self._world.claim(home, claim)
        if held is None:
            await self._state.commit()
            return ClaimStatus(claim, ClaimState.RELEASED, 0, (), f"released: {reason}", 0)
        released = replace(ledger.advance(held, ClaimEvent.RELEASE), message=f"released: {reason}")
        if released != held:
            self.put(released)
            self.on_orders(held.zone)
        if released.state is ClaimState.RELEASING:
            self._settle_each(held.zone, [released])
        await self._state.commit()
        return status_of(self._world.claim(home, claim) or replace(released, state=ClaimState.RELEASED))

    def release_all(self, home: str) -> None:
        """Takes back whatever a partner still has: its agreement is over."""
        for claim in list(self._state.claims.values()):
            if claim.home == home and claim.state is not ClaimState.RELEASING:
                self.put(replace(ledger.advance(claim, ClaimEvent.RELEASE), message="the agreement is over"))
                self.on_orders(claim.zone)

    # --- what agents report ---

    def on_instances(self, zone: str) -> None:
        """An agent of ours reported instances: claims become ready, not ready, failed or free."""
        running = self._running(zone)
        for claim in self._run_in(zone):
            if claim.state in {ClaimState.ALLOCATED, ClaimState.SERVING}:
                self._observe(claim, running.get((claim.name, claim.fencing_token), []))
        self._settle(zone)

    def _running(self, zone: str) -> Mapping[tuple[str, int], list[InstanceStatus]]:
        """The instances that a zone reports, by the claim and the token that they were ordered under."""
        running: dict[tuple[str, int], list[InstanceStatus]] = {}
        for instance in self._world.instances.get(zone, {}).values():
            running.setdefault((instance.claim, instance.fencing_token), []).append(instance)
        return running

    def _observe(self, claim: Claim, running: list[InstanceStatus]) -> None:
        ready = sorted(i.endpoint_url for i in running if i.state is InstanceState.READY)
        failed = [i for i in running if i.state is InstanceState.FAILED]
        event = ClaimEvent.READY if len(ready) >= claim.spec.replicas else ClaimEvent.NOT_READY
        if failed:
            event = ClaimEvent.FAIL
        trouble = next((f": {i.message}" for i in running if i.message and i.state is InstanceState.STARTING), "")
        message = failed[0].message if failed else f"{len(ready)} of {claim.spec.replicas} replicas ready{trouble}"
        urls, seen = tuple(ready), claim
        # Each report of a zone is held against all of its claims, of which it changes one or two.
        if (claim.replicas_ready, claim.endpoint_urls, claim.message) != (len(ready), urls, message):
            seen = replace(claim, replicas_ready=len(ready), endpoint_urls=urls, message=message)
        seen = ledger.advance(seen, event)
        if seen is not claim and seen != claim:
            self.put(seen)

    def _run_in(self, zone: str) -> Iterable[Claim]:
        """The claims of a zone that its agent runs."""
        claims = self._world.claims_in(zone)
        return filter(self._is_run_here, claims) if JOINT in zone else claims

    def _is_run_here(self, claim: Claim) -> bool:
        """Whether an own agent runs a claim, and not the operator behind. Zones that are offered on have ``--`` in
        their names; an own zone may be named like one of them.
        """
        is_relayed = JOINT in claim.zone and self.behind is not None and self.behind.is_behind(claim.home, claim.name)
        return not is_relayed

    def on_order_refused(self, zone: str, instance: str, message: str) -> None:
        for claim in self._run_in(zone):
            if instance in instance_names(claim) and claim.state in {ClaimState.ALLOCATED, ClaimState.SERVING}:
                self.put(replace(ledger.advance(claim, ClaimEvent.FAIL), message=message))

    def on_orders_held(self, zone: str, held: Collection[str]) -> None:
        """The agent says which orders it holds, or may hold."""
        self._orders_held[zone] = frozenset(held)
        self._settle(zone)

    def _settle(self, zone: str) -> None:
        """Frees what was given up and is seen to have stopped: no order at the agent and no instance."""
        if releasing := self._releasing.get(zone):
            self._settle_each(zone, [self._state.claims[key] for key in sorted(releasing)])

    def _settle_each(self, zone: str, releasing: Iterable[Claim]) -> None:
        orders = self._orders_held.get(zone)
        if orders is None:
            return
        unordered = [
            claim
            for claim in releasing
            if self._is_run_here(claim) and not any(f"instances/{name}" in orders for name in instance_names(claim))
        ]
        running = self._running(zone) if unordered else {}
        for claim in unordered:
            if (claim.name, claim.fencing_token) not in running:
                self.put(ledger.advance(claim, ClaimEvent.STOPPED))

    def on_zone_lost(self, zone: str) -> None:
        # The orders that the agent holds stay known: if its stream lives on, nobody will tell them again.
        for claim in self._run_in(zone):
            lost = ledger.advance(claim, ClaimEvent.ZONE_LOST)
            if lost != claim:
                self.put(replace(lost, replicas_ready=0, endpoint_urls=(), message="the zone is not heard"))

    def on_zone_back(self, zone: str) -> None:
        for claim in self._run_in(zone):
            if claim.state is ClaimState.LOST:
                self.put(replace(ledger.advance(claim, ClaimEvent.ZONE_BACK), message="the zone is heard again"))

    # --- when the network splits ---

    def heard_home(self, home: str) -> None:
        """A home operator has said something; ``stop_where_home_is_cut_off`` counts from here."""
        self._cut_off.heard(home)

    def stop_where_home_is_cut_off(self) -> None:
        """Gives up claims whose home operator goes on without them, since it has not been heard for as long as their
        rule says. The home operator waits for longer than that before it places them elsewhere.
        """
        for claim, silence_ms in list(self._cut_off.overdue()):
            if claim.state in _ORDERED:
                message = f"cut off: {claim.home} has not been heard for {silence_ms // 1_000} s"
                self.put(replace(ledger.advance(claim, ClaimEvent.RELEASE), message=message))
                self.on_orders(claim.zone)

    # --- time and orders ---

    def expire_holds(self) -> None:
        """Frees every hold whose lease has run out."""
        now_ms = self._clock.monotonic_ms()
        for key in sorted(self._open_holds):
            claim = self._state.claims[key]
            if claim.lease_until_ms <= now_ms:
                self.put(ledger.advance(claim, ClaimEvent.EXPIRE))

    def renew_after_restart(self) -> None:
        """Monotonic time began anew: every open hold gets a full lease, so that nothing is oversold."""
        until_ms = self._clock.monotonic_ms() + self._settings.hold_lease_ms
        for claim in list(self._state.claims.values()):
            self._cut_off.note(claim, is_held=ledger.holds_capacity(claim.state))
            self._sort_in(claim_key(claim.home, claim.name), claim)
            if claim.state is ClaimState.HELD:
                self.put(replace(claim, lease_until_ms=until_ms))

    def desired_instances(self, zone: str) -> tuple[DesiredInstance, ...]:
        """What is to run in the zone; everything else is to be stopped."""
        return tuple(
            instance
            for claim in self._run_in(zone)
            if claim.state in _ORDERED and claim.manifest is not None and self._is_kept(claim)
            for instance in self._instances(claim, claim.manifest)
        )

    def _instances(self, claim: Claim, manifest: Manifest) -> tuple[DesiredInstance, ...]:
        """What a claim orders; the same objects as long as it is the same claim, for each change of one claim has the
        orders of its whole zone looked at.
        """
        key = claim_key(claim.home, claim.name)
        inventory = self._world.inventory(claim.zone)
        is_judged = inventory is not None and inventory.refusals is not None
        known = self._orders_of.get(key)
        if known is None or known[0] is not claim or known[1] is not is_judged:
            known = self._orders_of[key] = claim, is_judged, _instances(claim, manifest, is_judged=is_judged)
        return known[2]

    def _is_kept(self, claim: Claim) -> bool:
        """Nothing is ordered before its confirmation is durable: a crash would leave it running under a mere hold."""
        return self._state.is_durable(self._ordered_from.get(claim_key(claim.home, claim.name), 0))

    def put(self, claim: Claim) -> None:
        """Keeps a claim as it is now, with everything that follows."""
        self._world.put_claim(claim)
        self.meter.observe(claim)
        key = claim_key(claim.home, claim.name)
        self._cut_off.note(claim, is_held=ledger.holds_capacity(claim.state))
        if not ledger.holds_capacity(claim.state):
            self._ordered_from.pop(key, None)
            self._orders_of.pop(key, None)
            self.on_freed(claim.zone)
        self._sort_in(key, claim)
        self.changed.notify()
        self.on_put(claim)
        if claim.home == self._settings.operator:
            self.on_own_claim(claim.name)

    def _sort_in(self, key: str, claim: Claim) -> None:
        """Knows by name the claims that wait for something, so that nobody has to look for them among all."""
        if claim.state is ClaimState.HELD:
            self._open_holds.add(key)
        else:
            self._open_holds.discard(key)
        if claim.state is ClaimState.RELEASING:
            self._releasing.setdefault(claim.zone, set()).add(key)
        elif claim.zone in self._releasing:
            self._releasing[claim.zone].discard(key)


def instance_names(claim: Claim) -> tuple[str, ...]:
    """Names of a claim's instances; unique in the zone, as the token is, whatever name the home operator chose."""
    return tuple(f"{claim.name}-{claim.fencing_token}-{replica}" for replica in range(claim.spec.replicas))


def _instances(claim: Claim, manifest: Manifest, *, is_judged: bool) -> tuple[DesiredInstance, ...]:
    """is_judged says that the agent refuses some, and is told whose workload it is and what data it brings."""
    asker = _asker(claim, manifest) if is_judged else ""
    data = tuple(sorted(handled_data(claim.spec))) if is_judged else ()
    replicas = claim.spec.replicas
    accelerators = tuple((pool, count // replicas) for pool, count in claim.amount.accelerators)
    limits = Capacity(claim.spec.cpu_millis, claim.spec.memory_mib, accelerators)
    return tuple(
        DesiredInstance(
            name,
            claim.name,
            manifest.workload,
            claim.form or claim.spec.artefact,
            limits,
            claim.fencing_token,
            manifest.client_ca_pem,
            manifest.client_ids,
            asker,
            data,
        )
        for name in instance_names(claim)
    )


def _asker(claim: Claim, manifest: Manifest) -> str:
    """Whose workload a claim is for, as its home operator says; empty where it says it in no known form."""
    try:
        return f"{claim.home}/{WorkloadId.parse(manifest.workload).tenant}"
    except ValueError:
        return ""
