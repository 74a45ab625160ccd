"""One operator's control plane, put together from its use cases. Adapters talk to its parts, time passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from hansa_control.application.agreements import AgreementDesk, AgreementSource
from hansa_control.application.books import Books
from hansa_control.application.deciding import Decider
from hansa_control.application.grants import GrantDesk
from hansa_control.application.holding import Holder
from hansa_control.application.in_place import InPlace as InPlace
from hansa_control.application.ingest import AgentIngest
from hansa_control.application.journal import Journal
from hansa_control.application.law_watch import LawWatch
from hansa_control.application.lawbook import LawDesk, LawSource, NoLaw
from hansa_control.application.local_owner import LocalOwner
from hansa_control.application.optimizing import Optimizer
from hansa_control.application.owner import OwnerService
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.partnerships import Partnerships
from hansa_control.application.placing import Placer
from hansa_control.application.ports import (
    Clock,
    IdSource,
    Owner,
    Seals,
    Store,
    StoreFailed,
    Worker,
)
from hansa_control.application.preempting import Preempter
from hansa_control.application.promises import Promises
from hansa_control.application.queries import Queries
from hansa_control.application.reconcile import Reconciler
from hansa_control.application.relay_book import RelayBook
from hansa_control.application.relaying import RelayHolder
from hansa_control.application.relays import Relays
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import Settlement
from hansa_control.application.state import State
from hansa_control.application.strays import Strays
from hansa_control.application.upkeeping import UpkeepDesk
from hansa_control.application.usage_ports import UsageSource
from hansa_control.application.vouching import Vouching
from hansa_control.application.workloads import Workloads
from hansa_control.application.world import World
from hansa_control.application.world_taking import WorldTaker
from hansa_control.domain import attention
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.attention import Attention
from hansa_control.domain.model import NetworkLink, NetworkNode, ZoneId
from hansa_control.domain.reputation import Breach


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a control plane stands on: its store, its clock, its source of ids, the way to each partner, the law, who
    does long work (nobody: it is done in place), the way to each partner's book of usage, and what is agreed with
    partners (nothing: each may use every zone), and who signs and checks grants (nobody: they are not).
    """

    store: Store
    clock: Clock
    ids: IdSource
    partners: Mapping[str, Owner]
    laws: LawSource = field(default_factory=NoLaw)
    worker: Worker | None = None
    books: Mapping[str, UsageSource] = field(default_factory=dict)
    agreements: AgreementSource | None = None
    seals: Seals | None = None


class ControlPlane:
    """The use cases of one operator, wired to one another."""

    def __init__(
        self,
        settings: Settings,
        network: tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]],
        surroundings: Surroundings,
    ) -> None:
        self.settings = settings
        self._store, self._clock, self._ids = surroundings.store, surroundings.clock, surroundings.ids
        self.state = State(self._store)
        self.world = World(settings, self.state, self._clock, network)
        self.journal = Journal(self.state, self._clock, settings.events_kept_max)
        self.laws = LawDesk(surroundings.laws, self._clock)
        records = (self.state, self.world)
        self.agreements = AgreementDesk(settings, records, surroundings.agreements, (self._clock, surroundings.worker))
        self.owner = OwnerService(settings, records, (self.laws, self.agreements), self._clock)
        self.owner.seals = self.owner.origins.seals = self.owner.chains.seals = surroundings.seals
        self.agents = AgentIngest(settings, self.state, self.world, self.owner, self._clock)
        sources = (self._clock, self._ids)
        self.partners = PartnerIngest(settings, self.state, self.world, self.owner, sources)
        self.settlement = Settlement(settings, self.state, self._clock, surroundings.books)
        self.books = Books(settings, self.state, self._clock, (self.settlement, surroundings.books))
        self.partnerships = Partnerships(settings, records, self.agreements)
        self.world_taker = WorldTaker(settings, records, (self.laws, self.partnerships), self._clock)
        self.decider = Decider(settings, self.world, self._clock, self.laws)
        self.workloads = Workloads(settings, (self.state, self.journal), self.decider, sources)
        working = (self._clock, surroundings.worker or InPlace())
        self.optimizer = Optimizer(settings, (self.state, self.world), self.laws, working)
        self.queries = Queries(self.state, self.world, self.journal, self.decider)
        self.queries.authority_of = Vouching(settings, self.partners.context, self.world.origin_of).authority_of
        self.queries.authorities_changed = lambda: self.partners.authorities_changed
        self.promises = Promises(settings, (self.state, self.world), self._clock)
        self.grants = GrantDesk(settings, self.state, self._clock, surroundings.seals)
        self.preempter = Preempter(settings, (self.state, self.journal, self.world), self.laws, self._clock)
        self.workloads.preempter = self.preempter
        self._relay(surroundings.partners)
        self.reconciler = self._reconciler(surroundings.partners)
        self.strays = Strays(settings.stray_after_ms, records, surroundings.partners, self._clock)
        self._is_freed = False
        self.upkeep = UpkeepDesk(settings.operator, (self.state, self.world), self._clock)
        self._drained: frozenset[ZoneId] = frozenset()
        self.law_watch = LawWatch(self.world, self.laws, self._clock)
        self._attention = Attention()
        self._next_law_check_ms = 0
        self._next_sweep_ms = 0
        self._wire()

    def _relay(self, partners: Mapping[str, Owner]) -> None:
        """Claims in zones that this operator offers on: both who asks behind them and who follows what comes of it."""
        book = RelayBook(self.state)
        records = (self.state, self.world, self.partners, book)
        checking = (self.grants, self.promises, self.settlement)
        holder = RelayHolder(self.settings, records, (self.owner, partners, self.laws), checking, self._clock)
        self.relays = Relays(self.settings, records, (self.owner, partners), (self._clock, self._ids))
        self.relays.on_given_back = self.settlement.wake
        holder.on_given_up = self.relays.wake
        self.owner.behind = holder
        self.owner.on_put = self.relays.changed
        self.settlement.is_relayed = book.is_behind

    def _reconciler(self, partners: Mapping[str, Owner]) -> Reconciler:
        owners: dict[str, Owner] = {**partners, self.settings.operator: LocalOwner(self.owner, self.settings.operator)}
        records = (self.state, self.journal, self.partners)
        holder = Holder(self.settings, records, owners, (self.grants, self.promises, self._clock))
        holder.on_asked = self.settlement.asked
        holder.judges_tenants, holder.refusals_of = self.world.judges_tenants, self.world.refusals_of
        self.laws.asks_who = self.world.asks_who
        self.laws.operator = self.settings.operator
        holder.origin_of, holder.authority_of = self.world.origin_of, self.queries.authority_of
        placer = Placer(self.settings, self.state, (self.decider, holder), self._clock)
        return Reconciler(
            self.settings,
            (self.state, self.journal, self.world),
            (self.decider, placer),
            (self._clock, self._ids),
            self.preempter,
        )

    def _wire(self) -> None:
        self.owner.on_own_claim = self.reconciler.wake_claim
        self.owner.on_freed = self._freed
        self.owner.on_orders = self.agents.notify_orders
        self.upkeep.on_changed = self._upkeep_changed
        self.agents.on_zone_changed = self._zone_changed
        self.partners.on_claim = self._claim_told
        self.partners.on_claim_gone = self._claim_gone
        self.partners.on_claims_changed = self.settlement.wake
        self.reconciler.observer.on_claim_lost = self._claim_lost
        self.partners.on_partner_changed = self._partner_changed
        self.workloads.on_change = lambda workload: self.reconciler.wake(str(workload))

    def _claim_told(self, owner: str, claim: str) -> None:
        """A partner has said something of a claim of ours."""
        self.strays.told(owner, claim)
        self.relays.told(owner, claim)
        self.reconciler.wake_claim(claim)

    def _claim_gone(self, owner: str, claim: str) -> None:
        """A partner does not know a claim of ours any more."""
        self.strays.gone(owner, claim)
        self.relays.gone(owner, claim)
        self.reconciler.claim_gone(owner, claim)

    def _claim_lost(self, zone: ZoneId) -> None:
        """It is held against the owner, unless the agreement is over: then there is nothing new from it either."""
        federation = self.partners.context(zone.operator)
        standing = federation.standing if federation else None
        if standing is None or standing.state is not AgreementState.TERMINATED:
            self.promises.broken(zone.operator, Breach.CLAIM_LOST)

    def _zone_changed(self, zone: ZoneId) -> None:
        self.upkeep.follow(zone.zone)
        self.reconciler.wake_waiting()

    def _freed(self, zone: str) -> None:
        """Whoever it was freed for is looked at now, all others that wait at the next tick, together."""
        self._is_freed = True
        for workload in self.preempter.waiting_for(zone):
            self.reconciler.wake(workload)

    def _wake_for_freed(self) -> None:
        if self._is_freed:
            self._is_freed = False
            self.reconciler.wake_waiting()

    def _upkeep_changed(self, zone: ZoneId) -> None:
        self.owner.changed.notify()
        self._wake_where_drained()
        self.reconciler.wake_waiting()

    def _wake_where_drained(self) -> None:
        """Whoever runs in a zone that is to be emptied from now on, or is so no longer, gets a look."""
        drained = self.world.drained_zones()
        if drained != self._drained:
            changed, self._drained = drained ^ self._drained, drained
            self.reconciler.wake_in(changed)

    def _partner_changed(self, owner: str) -> None:
        self.reconciler.wake_waiting()
        if self.world.is_to_be_left(owner):
            self.reconciler.wake_all()
        if self.owner.origins.passes_anything_on():
            self.owner.changed.notify()
        self.agents.notify_all_orders()

    async def start(self) -> None:
        """Loads the records and takes up where the process before left off. StoreFailed if they are not sound."""
        await self.state.load()
        await self.owner.meter.recover()
        self.world.recover()
        self.agents.recover()
        self.partners.recover()
        self.promises.tick()
        self.owner.renew_after_restart()
        self.settlement.recover()
        self.agreements.tick()
        self.upkeep.recover()
        self.reconciler.recover()
        self.relays.recover()
        self.strays.recover()
        self.partners.give_up_strangers()
        await self.state.commit()

    async def run(self) -> None:
        """Lets time pass and looks at workloads until cancelled. StoreFailed as soon as the store fails anywhere."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.reconciler.run())
            group.create_task(self.relays.run())
            group.create_task(self.settlement.run())
            group.create_task(self.strays.run())
            group.create_task(self.agreements.run())
            group.create_task(self._pass_time())
            group.create_task(self._stop_on_store_failure())
            group.create_task(self._store.keep())

    async def _pass_time(self) -> None:
        while True:
            await self._clock.sleep_ms(self.settings.tick_ms)
            away_ms = self._away_ms()
            self.agents.tick(away_ms)
            self.partners.tick(away_ms)
            self.agreements.tick()
            self.promises.tick()
            self.owner.expire_holds()
            self.upkeep.tick()
            self.owner.stop_where_home_is_cut_off()
            if self.world.release_held_down():
                self.owner.changed.notify()
                self.reconciler.wake_waiting()
            self._wake_where_drained()
            self._wake_for_freed()
            self.reconciler.tick()
            self.relays.tick()
            self.settlement.tick()
            self._check_law()
            await self.state.commit()

    def _away_ms(self) -> int:
        """For how long this process did not run, where that is long enough to find an agent silent."""
        now_ms = self._clock.monotonic_ms()
        self._attention, away_ms = attention.look(self._attention, now_ms, self.settings.quiet_after_ms)
        return away_ms

    def _check_law(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._next_law_check_ms:
            self._next_law_check_ms = now_ms + self.settings.law_check_interval_ms
            changed = self.law_watch.changed()
            if changed is None or now_ms >= self._next_sweep_ms:
                self._next_sweep_ms = now_ms + self.settings.sweep_interval_ms
                self.reconciler.wake_all()
                return
            if changed:
                self.reconciler.wake_in(changed)
                self.reconciler.wake_waiting()
            self.reconciler.wake_preferring()

    async def _stop_on_store_failure(self) -> None:
        await self.state.failed.wait(0)
        raise self.state.failure or StoreFailed("the store failed")

    async def stop(self) -> None:
        """Finishes what is being written and closes the store."""
        if self.state.failure is None:
            await self.state.commit()
        await self._store.close()
