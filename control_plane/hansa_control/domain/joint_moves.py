"""Every single move away from a position, with a bound on the cost that it leads to.

A move takes a replica or a whole zone away, or nothing, and adds a replica or a zone, or nothing. Its bound is the
dual of the shares' transportation problem at the present prices of room, extended by a price for the zone that opens:
by weak duality no shares are cheaper. Where no room is scarce the bound is the cost itself, but for replicas that only
fill up to a least number (for uncapacitated zones it is the fast interchange of Resende and Werneck, "A fast swap-based
local search procedure for location problems", Annals of Operations Research 150, 2007, here over all moves at once).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position, Shape, filling_price
from hansa_control.domain.joint_problem import UNLIMITED_MILLIRPS as UNLIMITED
from hansa_control.domain.joint_problem import Bools, Floats, Ints

FINE_ZONES_MAX = 160
"""So many targets at most have bounds with a price of their own, which take several times as long."""

SCORING_WORK, SCORING_WORK_CAPACITATED, SPREAD_WORK, COSTS_PER_WORK = 1_400, 2_900, 500, 150
"""Work of a scoring and of choosing from it, of a spread, and how many costs are one more: measured."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Zones (n,) that moves may open or widen, and their columns of costs (A, n); many zones have coarser bounds.

    ``column`` (Z,) is where a zone is among them, -1 where it is not.
    """

    zones: Ints
    cost: Floats
    column: Ints
    is_coarse: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """What moves take away: zones (s,) (-1 nothing) and replicas (s,); ``closes`` tells a whole zone from a replica."""

    zones: Ints
    taken: Ints
    closes: Ints


@dataclass(frozen=True, slots=True)
class Moves:
    """Bounds (s, n + 1) of all moves; the last column adds nothing. ``added`` (s, n) is how many replicas come.

    ``replicas`` (Z,) is where they start.
    """

    replicas: Ints
    bound: Floats
    sources: Sources
    targets: Targets
    added: Ints

    def zones_of(self, at: int) -> tuple[int, ...]:
        """The zones that the move with that flat index touches."""
        source, target = divmod(at, self.bound.shape[1])
        origin = (int(self.sources.zones[source]),) if source else ()
        return (*origin, int(self.targets.zones[target])) if target < len(self.targets.zones) else origin

    def apply(self, at: int) -> Ints:
        """The replicas after the move with that flat index."""
        source, target = divmod(at, self.bound.shape[1])
        after = self.replicas.copy()
        if source:
            after[self.sources.zones[source]] -= self.sources.taken[source]
        if target < len(self.targets.zones):
            after[self.targets.zones[target]] += self.added[source, target]
        return after


def targets_of(arena: Arena, zones: Ints) -> Targets:
    """The zones as targets."""
    column = np.full(len(arena.fixed), -1)
    column[zones] = np.arange(len(zones))
    return Targets(zones, arena.cost.take(zones, axis=1), column, len(zones) > FINE_ZONES_MAX)


def score_moves(arena: Arena, position: Position, targets: Targets) -> Moves:
    """Bounds of every move from the position; infinite for those that break a bound from above."""
    if arena.bounds.replicas_min > 1:
        position = replace(position, replicas=arena.without_fill(position.replicas))
    sources = _sources(arena, position)
    added = _added(arena, position, (sources, targets))
    bound = _serving(arena, position, (sources, targets, added))
    bound += _taking(arena, position, sources)[:, None]
    bound[:, :-1] += _adding_cost(arena, position, (targets, added))
    _add_missing(arena, position, (sources, targets, bound))
    _add_spread(arena, position, (sources, targets, bound))
    if arena.is_capacitated:
        _add_short_of_room(arena, position, (sources, targets, bound))
    _forbid_pointless((sources, targets, bound))
    arena.work += _work_of_scoring(arena, bound)
    return Moves(position.replicas, bound, sources, targets, added)


def _sources(arena: Arena, position: Position) -> Sources:
    here = position.open_zones
    held = position.replicas[here]
    wide = here[held > 1] if arena.is_capacitated else here[:0]
    zones = np.concatenate(([-1], here, wide))
    taken = np.ones(len(zones), dtype=np.int64)
    closes = np.zeros(len(zones), dtype=np.int64)
    taken[0], taken[1 : len(here) + 1], closes[1 : len(here) + 1] = 0, held, 1
    return Sources(zones, taken, closes)


def _added(arena: Arena, position: Position, move: tuple[Sources, Targets]) -> Ints:
    """How many replicas a move adds (s, n): one, or as many as a closed zone's load needs in the one that opens."""
    sources, targets = move
    added = np.ones((len(sources.zones), len(targets.zones)), dtype=np.int64)
    if not arena.is_capacitated:
        return added
    room, free = arena.room[targets.zones], arena.free[targets.zones]
    load, closing = position.flows.load[:-1], len(position.open_zones)
    needed: Ints = (room[None] < load[:, None, None]).sum(axis=2)
    spare = arena.bounds.replicas_max - int(position.replicas.sum()) + sources.taken[1 : closing + 1]
    most = np.minimum(free, arena.domain_room(position.replicas)[targets.zones])
    added[1 : closing + 1] = np.clip(needed, 1, np.maximum(np.minimum(most, spare[:, None]), 1))
    added[:, position.replicas[targets.zones] > 0] = 1
    return added


def _serving(arena: Arena, position: Position, move: tuple[Sources, Targets, Ints]) -> Floats:
    """Dual value of the shares (s, n + 1), before prices of room that stays."""
    sources, targets, added = move
    closing = len(position.open_zones)
    best = _best_two(arena, position)
    table = np.empty((len(sources.zones), len(targets.zones) + 1))
    _serve_unpriced(best, targets.cost, table[: closing + 1])
    opened = table[: closing + 1, :-1]
    if arena.is_capacitated:
        if not targets.is_coarse:
            np.maximum(opened, _priced(arena, position, (best, targets, added[: closing + 1])), out=opened)
        opened[:, position.replicas[targets.zones] > 0] = table[: closing + 1, -1:]
    table[closing + 1 :] = table[0]
    return table


@dataclass(frozen=True, slots=True)
class Best:
    """Each access point's open zone of least value (A,), k where that is unserved; that value and the next (A,)."""

    first: Ints
    value: Floats
    second: Floats

    def without(self, closing: int) -> Floats:
        """Values with all open zones, then without each of them (k + 1, A)."""
        value = np.empty((closing + 1, len(self.value)))
        value[:] = self.value
        served = np.flatnonzero(self.first < closing)
        value[self.first[served] + 1, served] = self.second[served]
        return value


def _best_two(arena: Arena, position: Position) -> Best:
    reduced = arena.cost_with_unserved(position.open_zones)
    if arena.is_capacitated:
        reduced += arena.demand[:, None] * position.flows.price
    rows = np.arange(len(reduced))
    first = reduced.argmin(axis=1)
    value = reduced[rows, first]
    reduced[rows, first] = np.inf
    return Best(first, value, reduced.min(axis=1))


def _serve_unpriced(best: Best, cost: Floats, table: Floats) -> None:
    """Fills in values (k + 1, n + 1) where room that opens has no price: only a closed zone's own users change."""
    order = np.argsort(best.first, kind="stable")
    value, second = best.value[order], best.second[order]
    cost = cost[order]
    kept = np.minimum(cost, value[:, None])
    lost = np.minimum(cost, second[:, None])
    lost -= kept
    table[:, :-1], table[:, -1] = kept.sum(axis=0), value.sum()
    table[1:, -1] += np.bincount(best.first, best.second - best.value, len(table))[:-1]
    ends = np.searchsorted(best.first[order], np.arange(len(table))).tolist()
    for row, (start, end) in enumerate(pairwise(ends), start=1):
        if end > start:
            table[row, :-1] += np.add.reduce(lost[start:end], axis=0)


def _priced(arena: Arena, position: Position, move: tuple[Best, Targets, Ints]) -> Floats:
    """The bound with a price on the opening zone's room (k + 1, n): what fills it, or the closed zone's price."""
    best, targets, added = move
    value = best.without(len(position.open_zones))
    room = arena.room[targets.zones, added]
    own = filling_price(best.value, targets.cost, (arena.demand, room[0]))
    price = np.maximum(np.concatenate(([0.0], position.flows.price[:-1]))[:, None], own[None])
    cost = arena.demand[None, :, None] * price[:, None, :]
    cost += targets.cost
    np.minimum(cost, value[:, :, None], out=cost)
    return np.asarray(cost.sum(axis=1) - price * room)


def _taking(arena: Arena, position: Position, sources: Sources) -> Floats:
    """What stays of the cost of zones and replicas (s,), with room that is freed at its price, less room that stays."""
    here, held, origin = position.open_zones, position.replicas, np.maximum(sources.zones, 0)
    saved = sources.taken * arena.replica_cost[origin] + sources.closes * arena.fixed[origin]
    if not arena.is_capacitated:
        return np.asarray(arena.set_cost(held) - saved)
    price = _price_by_zone(arena, position)
    base = float(position.flows.price[:-1] @ arena.room[here, held[here]])
    freed = price[origin] * (arena.room[origin, held[origin]] - arena.room[origin, held[origin] - sources.taken])
    return np.asarray(freed - saved + (arena.set_cost(held) - base))


def _price_by_zone(arena: Arena, position: Position) -> Floats:
    price = np.zeros(len(arena.fixed))
    price[position.open_zones] = position.flows.price[:-1]
    return price


def _adding_cost(arena: Arena, position: Position, adding: tuple[Targets, Ints]) -> Floats:
    """What added replicas cost (n,) or (s, n), less what room gained in an open zone is worth; infinite past what is
    free.
    """
    targets, added = adding
    zones = targets.zones
    held = position.replicas[zones]
    if not arena.is_capacitated:
        return np.where(held > 0, np.inf, arena.fixed[zones] + arena.replica_cost[zones])
    after = np.minimum(held + 1, arena.room.shape[1] - 1)
    gained = _price_by_zone(arena, position)[zones] * (arena.room[zones, after] - arena.room[zones, held])
    opens = np.where(held == 0, arena.fixed[zones], -gained)
    opens[(held > 0) & (held >= arena.free[zones])] = np.inf
    return np.asarray(added * arena.replica_cost[zones] + opens)


def _add_missing(arena: Arena, position: Position, move: tuple[Sources, Targets, Floats]) -> None:
    """Adds the cost of zones and replicas that would be missing, infinite where a bound from above would be broken."""
    sources, targets, bound = move
    here = len(position.open_zones)
    less, same, more = (arena.cost_of_count(position.open_zones, count) for count in (here - 1, here, here + 1))
    nothing = np.where(sources.closes > 0, less, same)
    opening = np.where(sources.closes > 0, same, more)
    widening = nothing
    total = int(position.replicas.sum())
    if total >= arena.bounds.replicas_max:
        none_left = total - sources.taken >= arena.bounds.replicas_max
        opening, widening = np.where(none_left, np.inf, opening), np.where(none_left, np.inf, nothing)
    bound[:, -1] += nothing
    if arena.is_capacitated:
        bound[:, :-1] += np.where(position.replicas[targets.zones] > 0, widening[:, None], opening[:, None])
    else:
        bound[:, :-1] += opening[:, None]


def _add_spread(arena: Arena, position: Position, move: tuple[Sources, Targets, Floats]) -> None:
    """Adds the cost of domains that would be missing, infinite where one would hold too many replicas."""
    sources, targets, bound = move
    shape = arena.shape_of(position.replicas) if arena.domains else None
    for at in range(len(arena.domains)):
        if shape is None or _is_slack(arena, (shape, at)):
            continue
        lacking, opening, full = _spread(arena, (shape, at), sources)
        bound[:, -1] += lacking
        labels = arena.domains[at][targets.zones]
        added = np.where(full, np.inf, opening)
        if arena.is_capacitated:
            wider = np.where(full, np.inf, lacking[:, None])
            added = np.concatenate((added, wider), axis=1)
            labels = np.where(position.replicas[targets.zones] > 0, labels + full.shape[1], labels)
        bound[:, :-1] += added[:, labels]


def _is_slack(arena: Arena, which: tuple[Shape, int]) -> bool:
    """Whether no single move can break a spread: one domain to spare, and as many replicas a domain as one likes."""
    shape, at = which
    spread = arena.problem.spreads[at]
    return not spread.replicas_per_domain_max and int((shape.zones_of[at] > 0).sum()) > spread.domains_min


def _spread(arena: Arena, which: tuple[Shape, int], sources: Sources) -> tuple[Floats, Floats, Bools]:
    """Cost of missing domains where no zone opens (s,), where one does, and what has no room (s, domains)."""
    shape, at = which
    spread, labels = arena.problem.spreads[at], arena.domains[at]
    zones, replicas = shape.zones_of[at], shape.replicas_of[at]
    origin = np.where(sources.zones >= 0, labels[sources.zones], -1)
    same = origin[:, None] == np.arange(len(zones))
    left = zones - same * sources.closes[:, None]
    missing = spread.domains_min - (left > 0).sum(axis=1)
    most = spread.replicas_per_domain_max or UNLIMITED
    full = replicas - same * sources.taken[:, None] >= most
    opening = np.maximum(missing[:, None] - (left == 0), 0)
    return np.maximum(missing, 0) * arena.weight, opening * arena.weight, full


def _forbid_pointless(move: tuple[Sources, Targets, Floats]) -> None:
    """No move gives a zone what it takes from it, nor takes and gives nothing."""
    sources, targets, bound = move
    columns = np.where(sources.zones >= 0, targets.column[sources.zones], -1)
    rows = np.flatnonzero(columns >= 0)
    bound[rows, columns[rows]] = np.inf
    bound[0, -1] = np.inf


def _add_short_of_room(arena: Arena, position: Position, move: tuple[Sources, Targets, Floats]) -> None:
    """Adds the cost of demand above all the room that the zones could come to have: necessary, not sufficient."""
    sources, targets, bound = move
    held = position.replicas
    spare = max(arena.bounds.replicas_max - int(held.sum()), 0)
    here = position.open_zones
    could = np.zeros(len(held))
    could[here] = arena.room[here, np.minimum(arena.free[here], held[here] + spare)]
    room = float(could.sum())
    if room - float(could.max(initial=0.0)) >= arena.demand_sum:
        return
    lost = sources.closes * could[np.maximum(sources.zones, 0)]
    most = np.minimum(arena.free[targets.zones], spare + np.maximum(1, sources.taken[:, None]))
    gained = np.zeros(bound.shape)
    gained[:, :-1] = np.where(held[targets.zones] > 0, 0.0, arena.room[targets.zones, most])
    short = np.maximum(arena.demand_sum - (room - lost[:, None] + gained), 0.0)
    before = max(arena.demand_sum - room, 0.0)
    bound += np.maximum(short - before, 0.0) * (2.0 * arena.weight / max(arena.demand_sum, 1.0))


def _work_of_scoring(arena: Arena, bound: Floats) -> int:
    fixed = SCORING_WORK_CAPACITATED if arena.is_capacitated else SCORING_WORK + SPREAD_WORK * len(arena.domains)
    return fixed + bound.size * len(arena.demand) // COSTS_PER_WORK
