"""Settling: every workload is looked at as the control plane's keeper looks at it, until nobody moves any more.

Deciding, the law on what runs, who gives way to whom, and which zone stands in for a lost part are the production
functions; what is here is the order in which they are asked, which in production is spread over time. Who has lost a
zone comes first, by claim, as their owner tells them; then all others; then, whenever room has become free, whoever
waits. What is new is taken to start, and the old stops once it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from hansa_control.domain.batches import LIVE, Batch, batches_of, serving
from hansa_control.domain.breaches import breaches
from hansa_control.domain.intake import Intake
from hansa_control.domain.mending import Standing, stand_ins
from hansa_control.domain.model import (
    Assignment,
    OnChange,
    Placement,
    PlacementState,
    Rejection,
    WorkloadSpec,
    ZoneBounds,
    ZoneId,
)
from hansa_control.domain.placement import Judgement
from hansa_control.domain.planning import part_of
from hansa_control.domain.preempting import Candidate, preemption
from hansa_control.domain.snapshot import Snapshot
from hansa_control.domain.world_record import StandingPlacement, StandingWorkload

from hansa_sim.what_if.estate import Estate, Resident, at_rest
from hansa_sim.what_if.placing import Part, Room, placement_of

SIDE_BY_SIDE = 32
"""Looks that a control plane has under way at once. What one of them has just been granted is not confirmed while the
others decide, so they do not count on its giving way."""

LOOKS_PER_WORKLOAD_MAX = 16
"""So that two who want each other's place for ever do not keep anybody waiting."""


class Nomination(NamedTuple):
    """Room that is made in a zone for a workload, and whose parts (claims) are to leave for it."""

    zone: ZoneId
    priority: int
    claims: frozenset[str]


@dataclass(frozen=True)
class Settled:
    """Where everybody is once nobody moves any more.

    refused is what was judged of those that looked for a place in vain, by name; gave_way for whom others stopped;
    broken which parts of the law a placement fails, by claim, of those that stay all the same.
    """

    estate: Estate
    snapshot: Snapshot
    residents: Mapping[str, Resident]
    refused: Mapping[str, Judgement]
    gave_way: Mapping[str, str]
    broken: Mapping[str, tuple[Rejection, ...]]

    def at_rest(self) -> Estate:
        """The estate with everybody where they have come to."""
        workloads = (
            replace(one.workload, placements=tuple(map(StandingPlacement.of, one.placements)))
            for one in self.residents.values()
        )
        return replace(self.estate, snapshot=self.snapshot, workloads=tuple(workloads))


def settle(estate: Estate) -> Settled:
    """Lets an estate come to rest."""
    return _Settling(estate).run()


class _Settling:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._room = Room(estate, *at_rest(estate))
        self._refused: dict[str, Judgement] = {}
        self._gave_way: dict[str, str] = {}
        self._nominations: dict[str, Nomination] = {}
        self._made_room_for: set[str] = set()
        self._under_way: deque[str] = deque(maxlen=SIDE_BY_SIDE)
        self._yielding: list[str] = []
        self._queue: deque[str] = deque()
        self._is_freed = self._has_changed = False

    def run(self) -> Settled:
        self._queue.extend(self._order())
        for _ in range(LOOKS_PER_WORKLOAD_MAX * len(self._queue) + 1):
            if not self._queue:
                self._under_way.clear()
                self._queue.extend(self._woken())
            if not self._queue:
                break
            name = self._queue.popleft()
            before = self._residents[name]
            self._look(name)
            if self._residents[name] is not before:
                self._has_changed = True
                self._under_way.append(name)
        room = self._room
        return Settled(
            self._estate, room.snapshot, room.residents, self._refused, self._gave_way, dict(self._standing_breaches())
        )

    def _order(self) -> list[str]:
        """Those that have lost a zone as the owner of the zone tells of its claims, by name; then all others."""
        lost = [
            (placement.zone, placement.claim, name)
            for name, resident in self._residents.items()
            for placement in resident.placements
            if placement.state is PlacementState.LOST
        ]
        first = dict.fromkeys(name for _, _, name in sorted(lost))
        return [*first, *(name for name in self._residents if name not in first)]

    @property
    def _residents(self) -> dict[str, Resident]:
        return self._room.residents

    def _woken(self) -> list[str]:
        """Who is looked at once all others have been: those for whom room was to be made, with those who make it; then,
        if room has become free, whoever waits for some; then, if anything has changed, everybody once more, as time
        goes on: whoever waits may ask for room again, and a better tier may have some.
        """
        if self._yielding:
            woken, self._yielding = self._yielding, []
            return woken
        if self._is_freed:
            self._is_freed = False
            return sorted(self._refused)
        if self._has_changed:
            self._has_changed = False
            self._made_room_for.clear()
            waiting = sorted(self._refused)
            return [*waiting, *(name for name in self._residents if name not in self._refused)]
        return []

    # --- one look ---

    def _look(self, name: str) -> None:
        """What the keeper does with a workload: keeps it, moves it, mends it, or lets it wait."""
        resident = self._residents[name]
        if resident.workload.home in self._estate.silent:
            return  # whoever would decide is not heard
        broken = self._broken(resident)
        if broken and self._on_change(resident) is OnChange.TERMINATE:
            resident, broken = self._stop(name, broken), {}
        live, (batch, *_) = resident.live, (*batches_of(resident.placements, LIVE), None)
        if batch is None:
            self._place(name, ())
            return
        must_leave = bool(broken) and self._on_change(resident) is not OnChange.KEEP_AND_ALERT
        if yielding := [part for part in live if self._gives_way(part)]:
            self._give_way(name, yielding)
        elif batch.is_torn or must_leave or self._is_drained(live):
            avoid = tuple(part.zone for part in live if part.claim in broken)
            if not self._place(name, avoid) and batch.is_torn:
                self._mend(name, batch)
        else:
            self._refused.pop(name, None)
            self._fail_back(name, resident)

    def _broken(self, resident: Resident) -> dict[str, tuple[Rejection, ...]]:
        """What each placement fails of the law, by claim; those that fail nothing are not in it."""
        held = ((part.claim, self._unlawful(resident.workload, part)) for part in resident.placements)
        return {claim: found for claim, found in held if found}

    def _unlawful(self, asked: StandingWorkload, part: Placement) -> tuple[Rejection, ...]:
        policy = asked.owned_residency if part.zone.operator == asked.home else asked.spec.residency
        served = {latency.access_point for latency in part.latencies}
        access = tuple(at for at in asked.spec.access if at.access_point in served) or asked.spec.access
        spec = replace(asked.spec, residency=policy, access=access, zones=ZoneBounds())
        return breaches(spec, self._room.snapshot, part.zone, self._estate.now_ms)

    def _standing_breaches(self) -> Iterator[tuple[str, tuple[Rejection, ...]]]:
        for resident in self._residents.values():
            live = {part.claim for part in resident.live}
            yield from ((claim, found) for claim, found in self._broken(resident).items() if claim in live)

    def _on_change(self, resident: Resident) -> OnChange:
        return resident.workload.spec.residency.on_change

    def _stop(self, name: str, claims: Collection[str]) -> Resident:
        gone = [part for part in self._residents[name].placements if part.claim in claims]
        self._room.hold(name, (), gone)
        self._is_freed = True
        return self._residents[name]

    def _is_drained(self, live: Collection[Placement]) -> bool:
        zones = (self._room.snapshot.zone(part.zone) for part in live)
        return any(zone is not None and zone.upkeep.intake is Intake.DRAINING for zone in zones)

    # --- placing ---

    def _place(self, name: str, avoid: Collection[ZoneId], yielded: Collection[ZoneId] = ()) -> bool:
        """Places it anew if some owner has room, and gives up what it had; whether it is placed."""
        resident = self._residents[name]
        exclude = {*avoid, *yielded, *self._kept_for_others(name)}
        current = frozenset(part.zone for part in resident.live) - exclude
        judgement = self._room.judged(resident.workload, exclude, current)
        parts = self._room.find(resident.workload, judgement)
        if parts:
            self._take(name, parts)
            return True
        self._refused[name] = judgement
        if name in self._made_room_for:
            self._nominations.pop(name, None)  # they had their turn, and it was not enough
        elif not resident.live:
            self._preempt(name)
        return False

    def _take(self, name: str, parts: list[Part]) -> None:
        self._is_freed |= bool(self._residents[name].live)
        self._room.take(name, parts)
        self._refused.pop(name, None)
        self._gave_way.pop(name, None)
        self._nominations.pop(name, None)

    def _mend(self, name: str, batch: Batch) -> None:
        """Gives the one part that a batch has lost to another zone, where there is no room for a whole new batch."""
        resident = self._residents[name]
        lost = [part for part in batch.parts if part.state is PlacementState.LOST]
        if len(lost) != 1 or len(batch.live) != batch.planned_count - 1 or not lost[0].share_permille:
            return
        asked = self._mending(resident.workload.spec, batch, lost[0])
        if asked is None:
            return
        standing = replace(resident.workload, spec=asked)
        judgement = self._room.judged(standing, {*self._kept_for_others(name), lost[0].zone}, frozenset())
        for part in self._stand_ins(resident.workload.spec, batch, lost[0], judgement):
            if self._room.grants(standing, part):
                mended = placement_of(resident, part, (batch.number, batch.planned_count))
                self._room.hold(name, [mended], gone=lost)
                self._refused.pop(name, None)
                return

    def _mending(self, spec: WorkloadSpec, batch: Batch, lost: Placement) -> WorkloadSpec | None:
        zones = self._room.snapshot.index
        if len(lost.share_permille) != len(spec.access) or any(part.zone not in zones for part in batch.live):
            return None
        given = Assignment(lost.zone, lost.replicas, lost.pool, lost.share_permille, lost.latencies, None)
        return part_of(spec, given)

    def _stand_ins(self, spec: WorkloadSpec, batch: Batch, lost: Placement, judgement: Judgement) -> list[Part]:
        snapshot = self._room.snapshot
        zones = {zone.id: zone for zone in snapshot.zones}
        kept = [Standing(zones[part.zone], part.replicas) for part in batch.live]
        choices = judgement.choices(len(snapshot.zones))
        able = stand_ins(spec, kept, lost.replicas, (choices, zones), self._estate.now_ms)
        asked, most = judgement.request.spec, self._estate.choices_tried_max
        return [Part(one.zone, asked, lost.share_permille, one.latencies, one.pool) for one in able[:most]]

    def _fail_back(self, name: str, resident: Resident) -> None:
        """Goes back to a better tier of its preferences that has a place again. One in several zones stays."""
        spec = resident.workload.spec
        if not spec.preferences.ordered or spec.zones.maximum > 1:
            return
        exclude = self._kept_for_others(name)
        current = frozenset(part.zone for part in resident.live)
        better = self._room.judged(resident.workload, exclude, current).of_better_tier(current)
        if not better:
            return
        others = {zone.id for zone in self._room.snapshot.zones if zone.id not in better}
        judgement = self._room.judged(resident.workload, exclude | others, frozenset())
        if parts := self._room.find(resident.workload, judgement):
            self._take(name, parts)

    # --- giving way ---

    def _preempt(self, name: str) -> None:
        """Nobody has room: those of lower priorities are asked to make some in the home operator's zones, once."""
        asked = self._residents[name].workload
        if asked.spec.zones.maximum > 1:
            return
        owned = replace(asked.spec, residency=asked.owned_residency)
        candidates = list(self._candidates(asked))
        planned = candidates and preemption(owned, self._room.snapshot, candidates, self._estate.now_ms)
        if not planned:
            return
        self._made_room_for.add(name)
        claims = frozenset(one.claim for one in planned.victims)
        self._nominations[name] = Nomination(planned.zone, asked.spec.priority, claims)
        victims = sorted({one.workload for one in planned.victims})
        self._yielding += [*victims, name]

    def _candidates(self, asked: StandingWorkload) -> Iterator[Candidate]:
        """What may give way to a workload: lower ones of the same operator, with what they have in its own zones."""
        for name, resident in self._residents.items():
            spec = resident.workload.spec
            is_lower = spec.priority < asked.spec.priority and spec.disruption.preemptible
            if name in self._under_way or not is_lower or resident.workload.home != asked.home:
                continue
            own = [part for part in resident.live if part.zone.operator == asked.home]
            batch = serving(resident.placements) if own else None
            answering = {part.claim: part.replicas for part in batch.ready} if batch else {}
            spare = max(0, sum(answering.values()) - spec.disruption.min_available)
            for part in own:
                missed = answering.get(part.claim, 0)
                yield Candidate(name, part.claim, part.zone, resident.amount(part), spec.priority, missed, spare)

    def _gives_way(self, part: Placement) -> str:
        """For whom a placement is to leave; empty if it may stay."""
        return next((name for name, one in sorted(self._nominations.items()) if part.claim in one.claims), "")

    def _give_way(self, name: str, yielding: list[Placement]) -> None:
        """Goes elsewhere first; where it cannot, it stops and waits, if enough of it goes on answering."""
        winner = self._gives_way(yielding[0])
        if self._place(name, (), {part.zone for part in yielding}):
            return
        resident = self._residents[name]
        stopping = {part.claim for part in yielding}
        left = sum(part.replicas for part in resident.live if part.claim not in stopping)
        if left >= resident.workload.spec.disruption.min_available:
            self._stop(name, stopping)
            self._gave_way[name] = winner

    def _kept_for_others(self, name: str) -> frozenset[ZoneId]:
        """Zones in which room is made for somebody of no lower priority."""
        priority = self._residents[name].workload.spec.priority
        others = (one for key, one in self._nominations.items() if key != name and one.priority >= priority)
        return frozenset(one.zone for one in others)
