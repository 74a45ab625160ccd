"""Which zones are worth trying, by what each would save at prices that access points pay to be served.

The Lagrangian relaxation of "every access point is served once" (Cornuejols, Fisher and Nemhauser, "Location of bank
accounts to optimize float", Management Science 23, 1977) by subgradient steps of Polyak's length: who is served twice
over pays less, who is served by nobody pays more. After a few steps the zones of good plans are among those of least
reduced cost. Replicas count as fractions, and a zone past its room serves everybody in part: what comes out is an
order of zones, not a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.joint_problem import Floats, Ints

STEPS = 20
STEP_WORK, COSTS_PER_WORK, COSTS_PER_WORK_CAPACITATED = 250, 45, 30
"""Work of a step, and how many costs of serving that are looked at are one more: measured."""

PACE_KEPT = 0.95
"""How much of a step's length the next has."""

FIRST_ZONES_MAX, LATER_ZONES_MAX, LATER = 200, 80, 4
"""So many zones of least reduced cost are looked at more than once, and so many after the first few steps."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What the relaxation is told: zones (Z,), costs of serving (A, Z), of opening (Z,), their greatest loads (Z,).

    ``room`` is None where every zone has room for all; ``zones_min`` and ``zones_max`` are how many may be open.
    """

    zones: Ints
    cost: Floats
    own: Floats
    room: Floats | None
    demand: Floats
    zones_min: int
    zones_max: int

    def only(self, kept: Ints) -> Relaxed:
        """The same of fewer zones."""
        room = None if self.room is None else self.room[kept]
        cost = self.cost.take(kept, axis=1)
        return Relaxed(
            self.zones[kept], cost, self.own[kept], room, self.demand, self.zones_min, self.zones_max
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranking:
    """Zones (n,) that are worth trying, best first; the cheapest set of zones met on the way; the work."""

    zones: Ints
    cheapest: Ints
    work: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the zones do at prices: reduced costs (Z,), who is opened, how often everybody is served (A,), the value."""

    reduced: Floats
    opened: Ints
    served: Floats
    value: float


def rank_zones(relaxed: Relaxed) -> Ranking:
    """Zones by least reduced cost, at the best prices that a few steps find."""
    per_work = COSTS_PER_WORK if relaxed.room is None else COSTS_PER_WORK_CAPACITATED
    work = STEP_WORK + relaxed.cost.size // per_work
    relaxed = _without_dear(relaxed)
    price, opened = _greedy(relaxed)
    work += relaxed.cost.size * len(opened) // per_work
    cheapest, least = relaxed.zones[opened], _cost_of(relaxed, opened)
    pace, best, lowest = 1.0, -np.inf, np.zeros(len(relaxed.zones))
    for step in range(STEPS):
        answer = _answer(relaxed, price)
        work += STEP_WORK + relaxed.cost.size // per_work
        if answer.value > best:
            best, lowest = answer.value, answer.reduced
        if (cost := _cost_of(relaxed, answer.opened)) < least:
            cheapest, least = relaxed.zones[answer.opened], cost
        slope = 1.0 - answer.served
        length = float((slope * slope).sum())
        if length < 1e-9 or least - best <= 1e-9 * abs(least):
            break
        price = price + pace * max(least - answer.value, 1e-3 * abs(least)) / length * slope
        pace *= PACE_KEPT
        if step == LATER and len(relaxed.zones) > LATER_ZONES_MAX:
            kept = _least(answer.reduced, LATER_ZONES_MAX)
            relaxed, lowest = relaxed.only(kept), lowest[kept]
    return Ranking(relaxed.zones[np.argsort(lowest, kind="stable")], cheapest, work)


def _without_dear(relaxed: Relaxed) -> Relaxed:
    """Only zones that look good where everybody pays what the third best zone costs."""
    if len(relaxed.zones) <= FIRST_ZONES_MAX:
        return relaxed
    price = np.partition(relaxed.cost, 2, axis=1)[:, 2]
    return relaxed.only(_least(_answer(relaxed, price).reduced, FIRST_ZONES_MAX))


def _least(reduced: Floats, count: int) -> Ints:
    return np.sort(np.argsort(reduced, kind="stable")[:count])


def _greedy(relaxed: Relaxed) -> tuple[Floats, Ints]:
    """Zones added while that saves, and as prices what everybody costs there with a part of the zone's own cost."""
    value: Floats = relaxed.cost.max(axis=1)
    opened: list[int] = []
    for _ in range(relaxed.zones_max):
        gain = np.maximum(value[:, None] - relaxed.cost, 0.0).sum(axis=0) - relaxed.own
        best = int(gain.argmax())
        if opened and gain[best] <= 0:
            break
        opened.append(best)
        value = np.minimum(value, relaxed.cost[:, best])
    chosen = np.array(opened)
    at = relaxed.cost[:, chosen].argmin(axis=1)
    users = np.maximum(np.bincount(at, minlength=len(chosen)), 1)
    return value + (np.maximum(relaxed.own[chosen], 0.0) / users)[at], chosen


def _answer(relaxed: Relaxed, price: Floats) -> _Answer:
    gain = price[:, None] - relaxed.cost
    np.maximum(gain, 0.0, out=gain)
    part = np.ones(len(relaxed.own))
    if relaxed.room is not None:
        load = ((gain > 0) * relaxed.demand[:, None]).sum(axis=0)
        part = np.minimum(1.0, relaxed.room / np.maximum(load, 1e-9))
    reduced = relaxed.own - gain.sum(axis=0) * part
    first = np.argsort(reduced, kind="stable")[: relaxed.zones_max]
    opened = first[(reduced[first] < 0) | (np.arange(len(first)) < relaxed.zones_min)]
    served = ((gain[:, opened] > 0) * part[opened]).sum(axis=1)
    return _Answer(reduced, opened, served, float(price.sum() + reduced[opened].sum()))


def _cost_of(relaxed: Relaxed, opened: Ints) -> float:
    """What it costs with those zones, as if each had room for all; infinite where they have too little together."""
    if relaxed.room is not None and relaxed.room[opened].sum() < relaxed.demand.sum():
        return float("inf")
    return float(relaxed.cost[:, opened].min(axis=1).sum() + relaxed.own[opened].sum())
