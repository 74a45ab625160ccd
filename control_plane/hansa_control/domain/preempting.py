"""Who gives way where a workload of a higher priority has no room: as few as do, of them the lowest.

Only what stands on the ledger of the operator that decides may give way, and of that only its own workloads. Sets of
one and two are tried all; larger ones are found by taking the lowest first and giving back, highest first, whoever is
not needed. The answer is the same for the same input, whatever its order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

from hansa_control.domain.capacity import add, amount_for, fits
from hansa_control.domain.feasibility import filter_zone
from hansa_control.domain.model import Capacity, Reason, WorkloadSpec, Zone, ZoneId
from hansa_control.domain.snapshot import Snapshot

ROOM = frozenset({Reason.GPU_EXHAUSTED, Reason.CPU_EXHAUSTED, Reason.MEMORY_EXHAUSTED})
"""What another workload's leaving can mend."""

CANDIDATES_MAX = 64
"""Candidates in a zone, lowest first; so pairs are two thousand at most."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part of a workload that may give way. spare is how many of the workload's replicas that answer may be missed;
    replicas is how many of them would be.
    """

    workload: str
    claim: str
    zone: ZoneId
    amount: Capacity
    priority: int
    replicas: int
    spare: int


@dataclass(frozen=True, slots=True)
class Preemption:
    """A zone that has room once the victims, lowest first, have left it."""

    zone: ZoneId
    victims: tuple[Candidate, ...]


def preemption(
    spec: WorkloadSpec, snapshot: Snapshot, candidates: Iterable[Candidate], now_ms: int
) -> Preemption | None:
    """The fewest and lowest workloads that would have to leave one zone; None if that would help nowhere."""
    found: list[tuple[tuple[int, int, int, ZoneId], Preemption]] = []
    below = sorted((one for one in candidates if one.priority < spec.priority), key=_lowest)
    for zone_id in sorted({one.zone for one in below}):
        zone = snapshot.zone(zone_id)
        if zone is None or not _lacks_only_room(spec, snapshot, zone, now_ms):
            continue
        victims = _victims(spec, snapshot, zone, [one for one in below if one.zone == zone_id], now_ms)
        if victims:
            cost = (len(victims), victims[-1].priority, sum(one.priority for one in victims), zone_id)
            found.append((cost, Preemption(zone_id, victims)))
    return min(found, key=lambda one: one[0])[1] if found else None


def _lowest(candidate: Candidate) -> tuple[int, str, str]:
    return candidate.priority, candidate.workload, candidate.claim


def _lacks_only_room(spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int) -> bool:
    rejections = filter_zone(spec, snapshot, zone, now_ms)[0]
    return bool(rejections) and all(rejection.reason in ROOM for rejection in rejections)


def _victims(
    spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, below: Sequence[Candidate], now_ms: int
) -> tuple[Candidate, ...]:
    """Lowest first; empty if no set of them makes enough room."""
    few = below[:CANDIDATES_MAX]
    amounts = [amount_for(spec, pool) for pool in _pools(spec, zone)]
    for victims in _sets(zone, few, amounts):
        freed = replace(zone, free=_with(zone.free, victims))
        if not filter_zone(spec, snapshot, freed, now_ms)[0]:
            return victims
    return ()


def _pools(spec: WorkloadSpec, zone: Zone) -> tuple[str, ...]:
    return tuple(pool.key for pool in zone.inventory.pools) if spec.accelerator is not None else ("",)


def _sets(zone: Zone, below: Sequence[Candidate], amounts: Sequence[Capacity]) -> Iterator[tuple[Candidate, ...]]:
    """Sets that make room in numbers for one of the amounts, fewest first, then lowest."""
    small = chain(combinations(below, 1), combinations(below, 2))
    yield from sorted((one for one in small if _makes_room(zone, one, amounts)), key=_height)
    greedy = _greedy(zone, below, amounts)
    if len(greedy) > 2:
        yield greedy


def _height(victims: tuple[Candidate, ...]) -> tuple[int, int, int]:
    """Fewest, then by the highest of them, then by all; the order of the candidates decides what is left."""
    return len(victims), max(one.priority for one in victims), sum(one.priority for one in victims)


def _greedy(zone: Zone, below: Sequence[Candidate], amounts: Sequence[Capacity]) -> tuple[Candidate, ...]:
    taken: list[Candidate] = []
    for one in below:
        if _is_within_budget((*taken, one)):
            taken.append(one)
        if _makes_room(zone, taken, amounts):
            break
    else:
        return ()
    for one in reversed(taken[:]):
        rest = [other for other in taken if other is not one]
        if _makes_room(zone, rest, amounts):
            taken = rest
    return tuple(taken)


def _makes_room(zone: Zone, victims: Collection[Candidate], amounts: Sequence[Capacity]) -> bool:
    free = _with(zone.free, victims)
    return _is_within_budget(victims) and any(fits(amount, free) for amount in amounts)


def _is_within_budget(victims: Collection[Candidate]) -> bool:
    """Several parts of one workload count against its budget together."""
    missed: dict[str, int] = {}
    for one in victims:
        missed[one.workload] = missed.get(one.workload, 0) + one.replicas
    return all(missed[one.workload] <= one.spare for one in victims)


def _with(free: Capacity, victims: Iterable[Candidate]) -> Capacity:
    for one in victims:
        free = add(free, one.amount)
    return free
