"""Every single move away from a position, with a bound on the cost that it leads to.

A move takes a replica or a whole zone away, or nothing, and adds a replica or a zone, or nothing. Its bound is the
dual of the shares' transportation problem at the present prices of room, extended by a price for the zone that opens:
by weak duality no shares are cheaper. Where no room is scarce the bound is the cost itself (for uncapacitated zones
it is the fast interchange of Resende and Werneck, "A fast swap-based local search procedure for location problems",
Annals of Operations Research 150, 2007, here over all moves at once).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position, Shape, filling_price
from hansa_control.domain.joint_problem import Floats, Ints

FINE_ZONES_MAX = 160
"""So many targets at most have bounds with a price of their own, which take several times as long."""

SCORING_WORK = 1_500
"""Work of a scoring beside its moves, in moves: measured."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Zones (n,) that moves may open or widen, and their columns of costs (A, n); many zones have coarser bounds."""

    zones: Ints
    cost: Floats
    is_coarse: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """What moves take away: zones (s,) (-1 nothing) and replicas (s,); ``closes`` tells a whole zone from a replica."""

    zones: Ints
    taken: Ints
    closes: Ints


@dataclass(frozen=True, slots=True)
class Moves:
    """Bounds (s, n + 1) of all moves; the last column adds nothing. ``added`` (s, n) is how many replicas come."""

    bound: Floats
    sources: Sources
    targets: Targets
    added: Ints

    def zones_of(self, at: int) -> tuple[int, ...]:
        """The zones that the move with that flat index touches."""
        source, target = divmod(at, self.bound.shape[1])
        origin = (int(self.sources.zones[source]),) if source else ()
        return (*origin, int(self.targets.zones[target])) if target < len(self.targets.zones) else origin

    def apply(self, at: int, replicas: Ints) -> Ints:
        """The replicas after the move with that flat index."""
        source, target = divmod(at, self.bound.shape[1])
        after = replicas.copy()
        if source:
            after[self.sources.zones[source]] -= self.sources.taken[source]
        if target < len(self.targets.zones):
            after[self.targets.zones[target]] += self.added[source, target]
        return after


def targets_of(arena: Arena, zones: Ints) -> Targets:
    """The zones as targets."""
    return Targets(zones, np.ascontiguousarray(arena.cost[:, zones]), len(zones) > FINE_ZONES_MAX)


def score_moves(arena: Arena, position: Position, targets: Targets) -> Moves:
    """Bounds of every move from the position; infinite for those that break a bound from above."""
    sources = _sources(arena, position)
    added = _added(arena, position, (sources, targets))
    serving = _serving(arena, position, (sources, targets, added))
    here, held = position.open_zones, position.replicas
    price = _price_by_zone(arena, position)
    base = float(position.flows.price[:-1] @ arena.room[here, held[here]])
    origin = np.maximum(sources.zones, 0)
    left = held[origin] - sources.taken
    freed = price[origin] * (arena.room[origin, held[origin]] - arena.room[origin, left])
    saved = sources.taken * arena.replica_cost[origin] + sources.closes * arena.fixed[origin]
    bound = serving + (freed - saved)[:, None] + (arena.set_cost(held) - base)
    bound[:, :-1] += _adding_cost(arena, position, (targets, added, price))
    bound += _missing(arena, position, (sources, targets, added))
    arena.work += SCORING_WORK + bound.size
    return Moves(bound, sources, targets, added)


def _price_by_zone(arena: Arena, position: Position) -> Floats:
    price = np.zeros(len(arena.fixed))
    price[position.open_zones] = position.flows.price[:-1]
    return price


def _sources(arena: Arena, position: Position) -> Sources:
    here = position.open_zones
    held = position.replicas[here]
    wide = here[held > 1] if arena.has_replicas else here[:0]
    return Sources(
        np.concatenate(([-1], here, wide)),
        np.concatenate(([0], held, np.ones(len(wide), dtype=np.int64))),
        np.concatenate(([0], np.ones(len(here), dtype=np.int64), np.zeros(len(wide), dtype=np.int64))),
    )


def _added(arena: Arena, position: Position, pair: tuple[Sources, Targets]) -> Ints:
    """How many replicas a move adds (s, n): one, or as many as a closed zone's load needs in the one that opens."""
    sources, targets = pair
    added = np.ones((len(sources.zones), len(targets.zones)), dtype=np.int64)
    if not arena.is_capacitated:
        return added
    room, free = arena.room[targets.zones], arena.free[targets.zones]
    for at, load in enumerate(position.flows.load[:-1].tolist(), start=1):
        added[at] = np.clip((room < load).sum(axis=1), 1, np.maximum(free, 1))
    added[:, position.replicas[targets.zones] > 0] = 1
    spare = arena.bounds.replicas_max - int(position.replicas.sum()) + sources.taken
    return np.minimum(added, np.maximum(spare, 1)[:, None])


def _serving(arena: Arena, position: Position, move: tuple[Sources, Targets, Ints]) -> Floats:
    """Dual value of the shares (s, n + 1), before prices of room that stays."""
    sources, targets, added = move
    here, closing = position.open_zones, len(position.open_zones)
    reduced = np.empty((len(arena.demand), closing + 1))
    reduced[:, :-1], reduced[:, -1] = arena.cost[:, here], arena.unserved
    if arena.is_capacitated:
        reduced += arena.demand[:, None] * position.flows.price
    value = _values_without(reduced)
    table = np.empty((len(sources.zones), len(targets.zones) + 1))
    opened = table[: closing + 1, :-1]
    np.minimum(value[:, :, None], targets.cost).sum(axis=1, out=opened)
    if arena.is_capacitated and not targets.is_coarse:
        np.maximum(opened, _priced(arena, position, (value, targets, added[: closing + 1])), out=opened)
    plain = table[: closing + 1, -1] = value.sum(axis=1)
    opened[:, position.replicas[targets.zones] > 0] = plain[:, None]
    table[closing + 1 :] = table[0]
    return table


def _values_without(reduced: Floats) -> Floats:
    """Each access point's best value (k + 1, A): with all open zones, then without each of them; last is unserved."""
    count = reduced.shape[1] - 1
    rows = np.arange(len(reduced))
    first = reduced.argmin(axis=1)
    best = reduced[rows, first]
    reduced[rows, first] = np.inf
    value = np.empty((count + 1, len(reduced)))
    value[:] = best
    if count:
        served = np.flatnonzero(first < count)
        value[first[served] + 1, served] = reduced.min(axis=1)[served]
    return value


def _priced(arena: Arena, position: Position, move: tuple[Floats, Targets, Ints]) -> Floats:
    """The bound with a price on the opening zone's room (k + 1, n): what fills it, or the closed zone's price."""
    value, targets, added = move
    room = arena.room[targets.zones, added]
    own = filling_price(value[0], targets.cost, (arena.demand, room[0]))
    price = np.maximum(np.concatenate(([0.0], position.flows.price[:-1]))[:, None], own[None])
    cost = targets.cost[None] + arena.demand[None, :, None] * price[:, None, :]
    return np.asarray(np.minimum(value[:, :, None], cost).sum(axis=1) - price * room)


def _adding_cost(arena: Arena, position: Position, adding: tuple[Targets, Ints, Floats]) -> Floats:
    """What added replicas cost (s, n), less what room gained in an open zone is worth; infinite past what is free."""
    targets, added, price = adding
    zones = targets.zones
    held = position.replicas[zones]
    after = held + 1
    top = arena.room.shape[1] - 1
    gained = price[zones] * (arena.room[zones, np.minimum(after, top)] - arena.room[zones, held])
    opens = np.where(held == 0, arena.fixed[zones], -gained)
    cost = added * arena.replica_cost[zones] + opens
    blocked = (held + added > arena.free[zones]) | (not arena.has_replicas and held > 0)
    return np.where(blocked, np.inf, cost)


def _missing(arena: Arena, position: Position, move: tuple[Sources, Targets, Ints]) -> Floats:
    """Cost of what the plan would still lack (s, n + 1), infinite where a bound from above would be broken."""
    sources, targets, added = move
    bounds, shape = arena.bounds, arena.shape_of(position.replicas)
    coming = np.zeros((len(added), len(targets.zones) + 1), dtype=np.int64)
    coming[:, :-1] = added
    opens = coming[0] > 0
    opens[:-1] &= position.replicas[targets.zones] == 0
    zones = (shape.zones - sources.closes)[:, None] + opens
    replicas = (shape.replicas - sources.taken)[:, None] + coming
    lacking: Floats = np.maximum(bounds.zones_min - zones, 0) * arena.weight
    broken = (zones > bounds.zones_max) | (replicas > bounds.replicas_max)
    for at in range(len(arena.domains)):
        if _is_slack(arena, (shape, at)):
            continue
        short, over = _spread(arena, (shape, at), (sources, targets, coming))
        lacking += arena.weight * short
        broken |= over
    if arena.is_capacitated:
        lacking += _short_of_room(arena, position, (sources, targets))
    broken[:, :-1] |= sources.zones[:, None] == targets.zones
    broken[0, -1] = True
    lacking[broken] = np.inf
    return lacking


def _is_slack(arena: Arena, which: tuple[Shape, int]) -> bool:
    """Whether no single move can break a spread: one domain to spare, and as many replicas a domain as one likes."""
    shape, at = which
    spread = arena.problem.spreads[at]
    return not spread.replicas_per_domain_max and int((shape.zones_of[at] > 0).sum()) > spread.domains_min


def _spread(arena: Arena, which: tuple[Shape, int], move: tuple[Sources, Targets, Ints]) -> tuple[Floats, Ints]:
    """Domains missing, and whether a domain would hold too many replicas, both (s, n + 1)."""
    (shape, at), (sources, targets, coming) = which, move
    spread, labels = arena.problem.spreads[at], arena.domains[at]
    zones, replicas = shape.zones_of[at], shape.replicas_of[at]
    goal = np.concatenate((labels[targets.zones], (-1,)))
    origin = np.where(sources.zones >= 0, labels[sources.zones], -2)
    same = origin[:, None] == goal
    held = zones[goal] - same * sources.closes[:, None]
    gains = (goal >= 0) & (held == 0)
    loses = (sources.closes > 0) & (zones[np.maximum(origin, 0)] == 1)
    domains = int((zones > 0).sum()) - loses[:, None] + gains
    after = replicas[goal] - same * sources.taken[:, None] + coming
    most = spread.replicas_per_domain_max
    over = (after > most) & (goal >= 0) if most else np.zeros(after.shape, dtype=np.bool_)
    return np.maximum(spread.domains_min - domains, 0).astype(np.float64), over


def _short_of_room(arena: Arena, position: Position, pair: tuple[Sources, Targets]) -> Floats:
    """Cost of demand above all the room that the zones could come to have (s, n + 1): necessary, not sufficient."""
    sources, targets = pair
    held = position.replicas
    spare = max(arena.bounds.replicas_max - int(held.sum()), 0)
    widest = np.where(held > 0, arena.room[np.arange(len(held)), np.minimum(arena.free, held + spare)], 0.0)
    room = float(widest.sum())
    if room - float(widest.max(initial=0.0)) >= arena.demand_sum:
        return np.zeros((len(sources.zones), len(targets.zones) + 1))
    origin = np.maximum(sources.zones, 0)
    lost = sources.closes * widest[origin]
    could = arena.room[
        targets.zones, np.minimum(arena.free[targets.zones], spare + np.maximum(1, sources.taken[:, None]))
    ]
    gained = np.column_stack((np.where(held[targets.zones] > 0, 0.0, could), np.zeros(len(lost))))
    short = np.maximum(arena.demand_sum - (room - lost[:, None] + gained), 0.0)
    before = max(arena.demand_sum - room, 0.0)
    cost: Floats = np.maximum(short - before, 0.0) * (2.0 * arena.weight / max(arena.demand_sum, 1.0))
    return cost
