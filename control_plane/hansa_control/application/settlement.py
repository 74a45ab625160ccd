"""Usage between operators: what was asked of partners, what they told of it, and whether both books say the same.

The owner of a zone meters. The home operator writes down what it asks for before it asks, takes over the owner's lines
as they are told, in their order, and keeps where it is in the same transaction as the lines: what is on disk is never
asked for twice, and what is not is told again. It follows when offers say that claims have changed, and now and then as
long as anything is open; a claim of which nobody says anything any more is found by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hansa_control.application.metering import TOLD
from hansa_control.application.open_claims import OpenClaims, asked_key
from hansa_control.application.ports import Clock, Counter, OwnerUnreachable, RefusalError, Table
from hansa_control.application.settings import Settings
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.usage_ports import Enter, LineQuery, Strike, UsageCall, UsagePage, UsageSource
from hansa_control.application.world import federation_key
from hansa_control.domain.agreement import PriceVersion
from hansa_control.domain.charges import learnt
from hansa_control.domain.model import PlacementState, Reason, Workload, WorkloadSpec, ZoneId
from hansa_control.domain.two_books import Asked, objection, taken_over
from hansa_control.domain.usage import UsageLine

ANY_SEQUENCE = 2**63 - 1
PAGE_LINES = 500

PAGES_MAX = 200
"""How many pages of an owner's book are taken over at one go; what is beyond is for the next."""

HEARD_STEP_MS = 60_000
"""How exactly is kept when an owner was heard last: not every question is worth a row on the disk."""


class Settlement:
    """The books between this operator and its partners, both ways."""

    def __init__(self, settings: Settings, state: State, clock: Clock, sources: Mapping[str, UsageSource]) -> None:
        self._settings = settings
        self._operator = settings.operator
        self._state = state
        self._clock = clock
        self._sources = sources
        self._signals = {owner: Signal() for owner in sorted(sources)}
        self._open = OpenClaims(state)
        self._turns = {owner: asyncio.Lock() for owner in sorted(sources)}
        self._due_ms: dict[str, int] = {}
        self._next_strike_ms = 0
        self.is_relayed: Callable[[str, str], bool] = lambda owner, claim: False
        self.on_objection: Callable[[UsageLine, str], None] = lambda line, why: None
        self.on_price_objection: Callable[[str, PriceVersion, str], None] = lambda owner, version, why: None
        self.price_objections: dict[str, tuple[tuple[PriceVersion, str], ...]] = {}

    # --- what is asked for ---

    def asked(self, workload: Workload, claim: str, zone: ZoneId, spec: WorkloadSpec) -> None:
        """The intent to ask a partner for a claim; to be called before the commit that makes the intent durable."""
        self.asked_for(str(workload.id), claim, zone, spec)

    def asked_for(self, workload: str, claim: str, zone: ZoneId, spec: WorkloadSpec) -> None:
        """The same for a workload of whoever, by its resource name."""
        if zone.operator not in self._sources:
            return
        devices = spec.accelerator.count if spec.accelerator is not None else 0
        asked = Asked(
            owner=zone.operator,
            claim=claim,
            zone=zone.zone,
            workload=workload,
            accelerators=devices * spec.replicas,
            cpu_millis=spec.cpu_millis * spec.replicas,
            memory_mib=spec.memory_mib * spec.replicas,
            asked_at_ms=self._clock.wall_ms(),
        )
        self._open.put(asked)
        self.wake(zone.operator)

    def recover(self) -> None:
        """After loading: every partner is asked what it has told meanwhile. Placements of a release that wrote nothing
        down are written down as if asked for now."""
        self._open.recover()
        for workload in list(self._state.workloads.values()):
            for placement in workload.placements:
                if placement.zone.operator not in self._sources:
                    continue  # an own zone, in whose book it is
                known = asked_key(placement.zone.operator, placement.claim) in self._state.asked
                if not known and placement.state is not PlacementState.HELD:
                    spec = replace(workload.spec, replicas=placement.replicas)
                    self.asked(workload, placement.claim, placement.zone, spec)
        for owner in self._signals:
            self.wake(owner)

    # --- following the owners ---

    def wake(self, owner: str) -> None:
        """The owner may have something to tell."""
        if owner in self._signals:
            self._signals[owner].notify()

    async def run(self) -> None:
        """Follows every owner until cancelled."""
        async with asyncio.TaskGroup() as group:
            for owner in self._signals:
                group.create_task(self._follow(owner))

    async def _follow(self, owner: str) -> None:
        seen = 0
        while True:
            await self._signals[owner].wait(seen)
            # Many changes share one question.
            await self._clock.sleep_ms(self._settings.usage_delay_ms)
            seen = self._signals[owner].version
            try:
                await self.take_over(owner)
            except (OwnerUnreachable, RefusalError):
                self._due_ms[owner] = self._clock.monotonic_ms() + self._settings.usage_retry_ms
            else:
                if self._open.has_any(owner):
                    self._due_ms[owner] = self._clock.monotonic_ms() + self._settings.usage_interval_ms

    def tick(self) -> None:
        """Wakes what asked to be woken by now, and strikes out what has been kept for long enough."""
        now_ms = self._clock.monotonic_ms()
        for owner in sorted(owner for owner, at_ms in self._due_ms.items() if at_ms <= now_ms):
            del self._due_ms[owner]
            self.wake(owner)
        if now_ms >= self._next_strike_ms:
            self._next_strike_ms = now_ms + self._settings.usage_strike_interval_ms
            # Whatever was missed is found by this at the latest.
            self._open.touch_all()
            self._strike()

    async def take_over(self, owner: str) -> None:
        """Takes over all that the owner has told since the last time; durable on return. OwnerUnreachable."""
        source = self._sources.get(owner)
        if source is None:
            raise OwnerUnreachable(f"no way to {owner}")
        async with self._turns[owner]:
            unmetered = self._sweep(owner)
            after = self._state.count(_known(owner))
            page = await self._ask(source, owner, after)
            if page.last_sequence < after:
                # The owner was set back to an older copy of its records: everything is heard again.
                after = 0
                page = await self._ask(source, owner, after)
            for _ in range(PAGES_MAX):
                if page.last_sequence < after:
                    raise OwnerUnreachable(f"{owner} was set back to {page.last_sequence} while it told its book")
                after = self._take_page(owner, after, page)
                await self._state.commit()
                if not page.more:
                    break
                page = await self._ask(source, owner, after)
            else:
                at_most = PAGES_MAX * PAGE_LINES
                raise OwnerUnreachable(f"{owner} tells more than {at_most} lines; ask again for the rest")
            self._forget(owner, unmetered)
            await self._state.commit()

    async def _ask(self, source: UsageSource, owner: str, after: int) -> UsagePage:
        """The next page of an owner's book; the prices that it told with it are taken over."""
        known = self.prices(owner, self._operator)
        priced_ms = known[-1].since_ms if known else 0
        asked_ms = self._clock.wall_ms()
        page = await source.usage(UsageCall(owner, after, after, PAGE_LINES, prices_after_ms=priced_ms))
        self._take_prices(owner, page.prices, asked_ms)
        return page

    def _take_page(self, owner: str, after: int, page: UsagePage) -> int:
        """Takes lines over, with how far that got, in one transaction; the sequence up to which all is known now."""
        known = after
        for line in page.lines:
            if line.sequence <= known or (line.owner, line.home) != (owner, self._operator):
                raise OwnerUnreachable(f"{owner} told a line out of order or of others: {tuple(line.key)}")
            known = line.sequence
            self._take(line)
        if page.more and known == after:
            raise OwnerUnreachable(f"{owner} says that there is more and tells nothing")
        if self._state.count(_known(owner)) != known:
            self._state.put(Table.COUNTER, _known(owner), Counter(known))
        return known

    def _take(self, line: UsageLine) -> None:
        key = asked_key(line.owner, line.claim)
        asked = self._state.asked.get(key)
        why = objection(asked, line)
        if asked is None or why:
            self.on_objection(line, why)
            return
        self._open.put(taken_over(asked, line))
        dated = replace(line, asked_at_ms=asked.asked_at_ms, given_back_at_ms=asked.given_back_at_ms)
        self._state.write(Enter(dated))

    def prices(self, owner: str, home: str) -> tuple[PriceVersion, ...]:
        """The prices between an owner and a home operator as this operator has them, oldest first."""
        held = self._state.federations.get(federation_key(home, owner))
        return held.prices if held else ()

    def _take_prices(self, owner: str, told: Sequence[PriceVersion], asked_ms: int) -> None:
        """Takes over prices that came into force since the owner was heard last, as far as two clocks may differ.

        Whoever was never heard may tell any: nothing is known that they could contradict.
        """
        key = federation_key(self._operator, owner)
        held = self._state.federations.get(key)
        if held is None:
            return
        heard_ms = self._state.count(_heard(owner))
        least_ms = min(heard_ms, asked_ms) - self._settings.clock_skew_ms_max
        found = learnt(
            held.prices, told, least_ms=least_ms, kept_since_ms=self._clock.wall_ms() - self._settings.usage_kept_ms
        )
        if found.versions != held.prices:
            self._state.put(Table.FEDERATION, key, replace(held, prices=found.versions))
        if not 0 <= asked_ms - heard_ms < HEARD_STEP_MS:
            self._state.put(Table.COUNTER, _heard(owner), Counter(asked_ms))
        self._object(owner, found.refused)

    def _object(self, owner: str, refused: tuple[tuple[PriceVersion, str], ...]) -> None:
        """Tells of prices that are not taken over; once, as the owner tells them at every question."""
        before = {version for version, _ in self.price_objections.get(owner, ())}
        self.price_objections[owner] = refused
        for version, why in refused:
            if version not in before:
                self.on_price_objection(owner, version, why)

    def _sweep(self, owner: str) -> tuple[str, ...]:
        """Finds what no placement names any more. Answers what of that the owner has not metered so far: if it tells
        nothing after this either, it never will, as it has answered, durably, that the claim is over or never was.
        """
        for asked in self._open.take_touched(owner):
            workload = self._state.workloads.get(asked.workload)
            named = workload is not None and any(
                (placement.claim, placement.zone.operator) == (asked.claim, owner) for placement in workload.placements
            )
            named = named or self.is_relayed(owner, asked.claim)
            if not named and not asked.given_back_at_ms:
                self._open.put(replace(asked, given_back_at_ms=self._clock.wall_ms()))
        return self._open.unmetered(owner)

    def _forget(self, owner: str, unmetered: tuple[str, ...]) -> None:
        for key, asked in self._open.settled(owner):
            last = replace(asked.lines[-1], asked_at_ms=asked.asked_at_ms, given_back_at_ms=asked.given_back_at_ms)
            self._state.write(Enter(last))
            self._open.delete(key)
        still = set(self._open.unmetered(owner))
        for key in unmetered:
            if key in still:
                self._open.delete(key)

    # --- telling ---

    async def tell(self, caller: str, call: UsageCall) -> UsagePage:
        """Lines of the book between this operator and the caller, and nobody else. RefusalError IDENTITY_MISMATCH.

        It needs no federation in force: what was used before its end is settled after it.
        """
        if call.owner == self._operator:
            told = self._state.count(TOLD)
            self._note_kept(caller, min(call.kept, told))
            return await self._page(call, (self._operator, caller), told)
        if call.owner != caller:
            message = f"{caller} may ask for lines of its own zones and of those of {self._operator}"
            raise RefusalError(Reason.IDENTITY_MISMATCH, message, "owner_operator")
        if not call.after:
            await self.try_to_take_over(caller)
        return await self._page(call, (caller, self._operator), self._state.count(_known(caller)))

    async def try_to_take_over(self, owner: str) -> str:
        """Why nothing could be taken over; empty if all was."""
        try:
            await self.take_over(owner)
        except (OwnerUnreachable, RefusalError) as failure:
            return str(failure)
        return ""

    async def _page(self, call: UsageCall, sides: tuple[str, str], last_sequence: int) -> UsagePage:
        limit = min(call.limit, PAGE_LINES)
        query = LineQuery(*sides, after=call.after, limit=limit + 1, period=call.period)
        lines = await self._state.lines(query)
        plain = tuple(replace(line, asked_at_ms=0, given_back_at_ms=0) for line in lines[:limit])
        after_ms = call.prices_after_ms
        prices = () if after_ms is None else self.prices(*sides)
        prices = tuple(one for one in prices if one.since_ms > (after_ms or 0))
        return UsagePage(plain, len(lines) > limit, last_sequence, prices)

    def _note_kept(self, home: str, kept: int) -> None:
        if kept > self._state.count(_kept(home)):
            self._state.put(Table.COUNTER, _kept(home), Counter(kept))

    # --- keeping for long enough ---

    def _strike(self) -> None:
        """Strikes out final lines that are older than what is kept; those that a home has on disk, where one copies."""
        before_ms = self._clock.wall_ms() - self._settings.usage_kept_ms
        self._state.write(Strike(self._operator, self._operator, before_ms, ANY_SEQUENCE))
        for partner in sorted(self._settings.partners):
            self._state.write(Strike(self._operator, partner, before_ms, self._state.count(_kept(partner))))
            self._state.write(Strike(partner, self._operator, before_ms, ANY_SEQUENCE))


def _known(owner: str) -> str:
    """The counter of how far an owner's book is taken over."""
    return f"usage-known|{owner}"


def _heard(owner: str) -> str:
    """The counter of when an owner was asked last of those times that it answered, by this operator's wall clock."""
    return f"usage-heard|{owner}"


def _kept(home: str) -> str:
    """The counter of how far a home operator has our book on disk."""
    return f"usage-kept|{home}"
