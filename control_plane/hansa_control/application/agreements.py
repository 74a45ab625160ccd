"""Agreements with partners that may use this operator's zones: how each stands, and what it lets them see and take.

The owner alone keeps an agreement; the home operator is told. What is agreed comes from a source that may change at any
time, and every tick brings each federation to where its agreement, the clock and its claims say that it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from hansa_control.application.ports import Clock, Table, Worker
from hansa_control.application.priced_versions import prices_noted
from hansa_control.application.settings import Settings
from hansa_control.application.shown_network import NOTHING_AGREED, NOTHING_DRAWN, Drawn, Hidden, ShownNetworks
from hansa_control.application.state import State
from hansa_control.application.world import World, federation_key
from hansa_control.domain import disclosure, federation, masking
from hansa_control.domain.agreement import (
    ENDING,
    OPEN,
    Agreement,
    AgreementState,
    NetworkShown,
    Stance,
    Standing,
    Wish,
)
from hansa_control.domain.agreement_life import AgreementEvent, Seen, follow
from hansa_control.domain.capabilities import Capability, lacking
from hansa_control.domain.federation import FederationEvent
from hansa_control.domain.model import (
    Capacity,
    ConstraintResult,
    Federation,
    Reason,
    Rejection,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.place_filters import STATE_REASON

AGREEMENT, QUOTA = "Agreement", "Quota"


class AgreementSource(Protocol):
    """Where agreements come from."""

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        """What is agreed with each partner, by its name, and what is wanted of it now; now_ms is wall clock, UTC."""
        ...


class EverythingOffered:
    """Every partner may use every zone, without end: what holds where nothing else is written."""

    def __init__(self, partners: frozenset[str]) -> None:
        self._stances = dict.fromkeys(sorted(partners), Stance(OPEN))

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return self._stances


class AgreementDesk:
    """Keeps the agreements of this operator as owner of zones, by home operator."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, World],
        source: AgreementSource | None,
        workers: tuple[Clock, Worker | None],
    ) -> None:
        self._settings = settings
        self._state, self._world = records
        self._source = source or EverythingOffered(settings.partners)
        self._clock, worker = workers
        self._shown_networks = ShownNetworks(settings.operator, worker)
        self._agreed_last: dict[str, Agreement] = {}
        self.on_event: Callable[[str, AgreementEvent, Standing], None] = lambda home, event, standing: None
        self.on_ended: Callable[[str], None] = lambda home: None
        self.on_changed: Callable[[], None] = lambda: None
        self.on_defect: Callable[[Exception], None] = lambda defect: None

    async def run(self) -> None:
        """Has the worker search for paths as they are wanted, until cancelled; nothing to do where there is none."""
        await self._shown_networks.run(lambda: self.on_changed(), lambda defect: self.on_defect(defect))

    def stance(self, home: str) -> Stance | None:
        """What is agreed with a partner and wanted now; None if nothing is."""
        if home not in self._settings.partners:
            return None
        return self._source.stances(self._clock.wall_ms()).get(home)

    def federation(self, home: str) -> Federation | None:
        """The federation in which a partner uses this operator's zones."""
        return self._state.federations.get(federation_key(home, self._settings.operator))

    def standing(self, home: str) -> Standing | None:
        """How the agreement with a partner stands; None if it never proposed one."""
        held = self.federation(home)
        return held.standing if held else None

    def version(self, home: str) -> int:
        """The version of the agreement under which something is granted now; 0 for the operator's own."""
        standing = self.standing(home)
        return standing.version if standing else 0

    def lacks(self, home: str) -> tuple[str, ...]:
        """What a partner would have to be able to for everything that was agreed, and does not say that it can."""
        held, agreement = self.federation(home), self._shown_under(home)
        if held is None:
            return ()
        needed = [Capability.VIRTUAL_LINKS] if agreement.network is NetworkShown.ABSTRACT else []
        needed += [Capability.CHAINS_OF_ORIGIN] if agreement.passes_on else []
        return lacking(held.capabilities, needed)

    # --- life ---

    def wants_proposal(self, home: str) -> bool:
        """Whether a partner without a federation in force may have a new one."""
        stance = self.stance(home)
        return stance is not None and stance.wish is not Wish.TERMINATED

    def tick(self) -> None:
        """Brings every agreement to where it belongs by now."""
        for held in list(self._state.federations.values()):
            if held.owner == self._settings.operator:
                self.follow(held)

    def follow(self, held: Federation) -> Federation:
        """The federation with its agreement where it belongs by now, kept. At its end what is left of claims goes."""
        seen = Seen(self.stance(held.home), self._clock.wall_ms(), is_used=self._is_used(held))
        standing, events = follow(held.standing or Standing(), seen)
        is_over = standing.state is AgreementState.TERMINATED
        prices = prices_noted(held, standing, seen, self._settings.usage_kept_ms)
        if standing != held.standing or prices is not held.prices:
            held = replace(held, standing=standing, prices=prices)
            held = federation.advance(held, FederationEvent.TERMINATE) if is_over else held
            self._state.put(Table.FEDERATION, federation_key(held.home, held.owner), held)
            for event in events:
                self.on_event(held.home, event, standing)
            self.on_changed()
        if is_over:
            self.on_ended(held.home)
        return held

    def _is_used(self, held: Federation) -> bool:
        """Whether the partner has claims. It is counted only where it decides, for it is asked at every tick."""
        counts = held.standing is not None and held.standing.state in ENDING
        return not counts or bool(self._world.claims_of(held.home))

    # --- what a partner may take ---

    def refusal(self, home: str, zone: str, *, is_passed_on: bool = False) -> Rejection | None:
        """Why a partner may have nothing new in a zone, whatever is free; None if it may. This operator itself may.
        Of one that is passed on, that the agreement names it is known already.

        Whether there is a federation at all is not asked here: without its context no call comes as far as this.
        """
        if home == self._settings.operator:
            return None
        stance, standing = self.stance(home), self.standing(home) or Standing(AgreementState.IN_FORCE)
        if stance is None:
            return self._refusal(zone, Reason.AGREEMENT_SUSPENDED, "no agreement", f"agreement with {home}")
        if standing.state is not AgreementState.IN_FORCE:
            words = standing.state.value.lower().replace("_", " ")
            reason = STATE_REASON[disclosure.state_under(standing, ZoneState.AVAILABLE)]
            return self._refusal(zone, reason, words, _evidence(home, standing))
        if not is_passed_on and not stance.agreement.offers(zone):
            result = ConstraintResult(
                AGREEMENT, "not offered", f"one of {', '.join(stance.agreement.zones)}", _evidence(home, standing)
            )
            return Rejection(ZoneId(self._settings.operator, zone), Reason.ZONE_NOT_OFFERED, result)
        return None

    def _refusal(self, zone: str, reason: Reason, measured: str, evidence: str) -> Rejection:
        result = ConstraintResult(AGREEMENT, measured, "in force", evidence)
        return Rejection(ZoneId(self._settings.operator, zone), reason, result)

    def excess(self, home: str, zone: str, asked: Capacity) -> tuple[Rejection, ...]:
        """Every quota that another claim of a partner would exceed, each with measured value and bound."""
        agreement, standing = self._agreement(home), self.standing(home) or Standing()
        if agreement is None or not agreement.quotas:
            return ()
        return tuple(
            Rejection(
                ZoneId(self._settings.operator, zone),
                Reason.QUOTA_EXCEEDED,
                ConstraintResult(
                    QUOTA,
                    f"{found.taken} {found.what} taken, {found.asked} asked",
                    f"<= {found.most} {found.what} {found.where}",
                    _evidence(home, standing),
                ),
            )
            for found in disclosure.exceeded(agreement, zone, self._held(home), asked)
        )

    def used(self, home: str) -> tuple[disclosure.Excess, ...]:
        """How far a partner has used every bound of its quotas."""
        agreement = self._agreement(home)
        return () if agreement is None else disclosure.uses(agreement, self._held(home))

    def priced(self, home: str, zone: Zone) -> Zone:
        """The zone at the price that was agreed with whoever asks."""
        agreement = self._agreement(home)
        return zone if agreement is None else disclosure.priced(agreement, zone, self._clock.wall_ms())

    # --- what a partner sees ---

    def shown_zones(self, home: str, zones: Sequence[Zone]) -> Iterator[Zone]:
        """The zones that a partner is shown, as it is shown them."""
        agreement = self._shown_under(home)
        if agreement == OPEN:
            yield from map(disclosure.outward, zones)
            return
        held, now_ms = self._held(home), self._clock.wall_ms()
        for zone in zones:
            seen = disclosure.shown(agreement, zone, held, now_ms)
            if seen is not None:
                yield seen

    def bounded(self, home: str, zone: Zone) -> Zone:
        """Another operator's zone as it is offered on to a partner: at the agreed price and room."""
        agreement = self._agreement(home)
        if agreement is None:
            return zone
        return disclosure.passed_on(agreement, zone, self._held(home), self._clock.wall_ms())

    def shown_network(self, home: str) -> Drawn | None:
        """The network as a partner is shown it; the same, and of the same elements, until something in it changes.

        None while paths for it are searched: it is shown nothing new then, and ``on_changed`` tells when there is.
        """
        agreement = self._shown_under(home)
        held: frozenset[str] = frozenset()
        if agreement.network is NetworkShown.ABSTRACT and Capability.VIRTUAL_LINKS in self.lacks(home):
            return NOTHING_DRAWN  # read as links they would hide what lies between their ends
        if agreement.network is NetworkShown.ABSTRACT:
            held = frozenset(claim.zone for claim in self._world.claims_of(home).values())
        own = Drawn(self._world.own_nodes, self._world.own_links)
        return self._shown_networks.of(home, agreement, own, self._world.own_zones(), held)

    def told(self, home: str, rejections: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
        """Refusals as a partner is told them: without names of what it is not shown of the network."""
        hidden = self._hidden(home)
        if hidden is None:
            return rejections
        return tuple(disclosure.without_names(one, hidden.names) for one in rejections)

    def masked(self, home: str, spec: WorkloadSpec) -> masking.Masked:
        """What a partner asks, with every access point that it is not shown under a name that nobody has: what is
        hidden from it and what is not there are judged alike.
        """
        hidden = self._hidden(home)
        if hidden is None:
            return masking.Masked(spec)
        known = self._world.snapshot().network.node_index
        unknown = [one.access_point for one in spec.access if one.access_point not in known]
        return masking.masked(spec, hidden.nodes.union(unknown), hidden.access_points)

    def _hidden(self, home: str) -> Hidden | None:
        agreement = self._agreement(home)
        if agreement is None or agreement.network is NetworkShown.FULL:
            return None
        held = frozenset(claim.zone for claim in self._world.claims_of(home).values())
        own = Drawn(self._world.own_nodes, self._world.own_links)
        return self._shown_networks.hidden(home, agreement, own, self._world.own_zones(), held)

    def _shown_under(self, home: str) -> Agreement:
        """What decides on what a partner sees. Where its lines are gone, a lost line stops nothing: it goes on seeing
        the network as it was agreed last, and the zones where it has claims, none of which takes anything new.
        """
        agreement = self._agreement(home)
        if agreement is not None:
            self._agreed_last[home] = agreement
            return agreement
        return replace(self._agreed_last.get(home, NOTHING_AGREED), zones=())

    def _agreement(self, home: str) -> Agreement | None:
        stance = None if home == self._settings.operator else self.stance(home)
        return stance.agreement if stance else None

    def _held(self, home: str) -> disclosure.Held:
        """What a partner's claims take, by zone."""
        held: dict[str, list[Capacity]] = {}
        for claim in self._world.claims_of(home).values():
            held.setdefault(claim.zone, []).append(claim.amount)
        return disclosure.Held(held)


def _evidence(home: str, standing: Standing) -> str:
    return f"agreement with {home}, version {standing.version}, {standing.digest[:19]}"
