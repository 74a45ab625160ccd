"""Tabu search over sets of zones and replicas, after Glover (1989): the best move, even a worse one, never back.

Moves are ranked by their bound and evaluated in that order. Zones outside a short list are priced whenever the search
is at a local optimum, so that no single move over all zones was overlooked there. No chance and no clock: the order is
that of costs, ties go to the lower index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position, filling_price
from hansa_control.domain.joint_bounds import tighten
from hansa_control.domain.joint_moves import Moves, Targets, score_moves, targets_of
from hansa_control.domain.joint_pairs import better_exchanges
from hansa_control.domain.joint_problem import Bools, Floats, Ints, SearchLimits, Stop
from hansa_control.domain.joint_relaxation import Ranking, Relaxed, rank_zones

TRIES = 4
TIGHTENED_MAX = 12
TENURE = 4
PATIENCE = 16
RESTARTS_MAX = 5
RESTART_TENURE = 10
INFEASIBLE_PATIENCE = 8
KEPT = 4
WITHOUT_A_PLAN = 20
"""So much more work is done for a first plan than for a better one. Measured: 158 access points and 16 zones whose room
is scarce and unlike take three times the work, 60 ms.
"""
PRICED_IN = 12
TOLERANCE = 1e-9
RANKED_MAX = 64
LISTED = 40
LISTED_CAPACITATED = 64
INFINITE = float("inf")


@dataclass(slots=True)
class Search:
    """What a search knows at a time.

    ``best`` holds feasible positions, cheapest first, ``tabu`` (Z,) up to which step a zone is not to be touched.
    """

    arena: Arena
    limits: SearchLimits
    position: Position
    targets: Targets
    tabu: Ints
    ranked: Ints
    best: list[Position] = field(default_factory=list)
    known: dict[bytes, Position] = field(default_factory=dict)
    visited: set[bytes] = field(default_factory=set)
    steps: int = 0
    restarts: int = 0
    idle: int = 0
    priced_at: float = np.inf
    exchanged_at: float = np.inf


def search(arena: Arena, limits: SearchLimits) -> tuple[Search, Stop]:
    """Climbs from no zone until the work is spent or it is told to stop; starts anew when nothing improves."""
    ranking = _ranking(arena)
    listed, cheapest = _short_list(arena, ranking), ranking.cheapest
    targets = targets_of(arena, listed)
    tabu = np.zeros(len(arena.fixed), dtype=np.int64)
    state = Search(arena, limits, _first_position(arena, cheapest, targets), targets, tabu, ranking.zones)
    _record(state, state.position)
    while (stop := _stop(state)) is None:
        if (not _advance(state) or state.idle >= PATIENCE) and not _restart(state):
            return state, Stop.SETTLED
    return state, stop


def _stop(state: Search) -> Stop | None:
    if _is_spent(state):
        return Stop.WORK
    asked = state.limits.should_stop is not None and state.limits.should_stop()
    return Stop.ASKED if asked else None


def _is_spent(state: Search) -> bool:
    """A search that has no plan at all goes on for longer: a late one is better than none."""
    return state.arena.work >= state.limits.work_max * (1 if state.best else WITHOUT_A_PLAN)


def _restart(state: Search) -> bool:
    """From no zone again, for a while without the zones of the best plan and of where the search stands."""
    if state.restarts >= RESTARTS_MAX:
        return False
    state.restarts += 1
    known = [*state.best[:1], state.position]
    avoided = np.unique(np.concatenate([position.open_zones for position in known]))
    state.tabu[avoided] = state.steps + RESTART_TENURE
    kept = state.targets.zones[~np.isin(state.targets.zones, avoided)]
    state.position = state.arena.evaluate(_first_zones(state.arena, targets_of(state.arena, kept)))
    _record(state, state.position)
    state.idle, state.priced_at, state.exchanged_at = 0, np.inf, np.inf
    return True


def _first_position(arena: Arena, cheapest: Ints, targets: Targets) -> Position:
    """The cheapest plan that the relaxation met, or where that lacks room one made a zone at a time if it is better."""
    relaxed = arena.evaluate(_within_bounds(arena, cheapest, _replicas_for(arena, cheapest)))
    if relaxed.feasible or not arena.is_capacitated:
        return relaxed
    grown = arena.evaluate(_first_zones(arena, targets))
    return grown if grown.total < relaxed.total else relaxed


def _within_bounds(arena: Arena, zones: Ints, wanted: Ints) -> Ints:
    """Replicas (Z,) as wanted (k,), the first zones first, as far as spread and the most replicas allow."""
    replicas = np.zeros(len(arena.fixed), dtype=np.int64)
    for zone, count in zip(zones.tolist(), wanted.tolist(), strict=True):
        spare = arena.bounds.replicas_max - int(replicas.sum())
        replicas[zone] = max(0, min(count, spare, int(arena.domain_room(replicas)[zone])))
    return replicas


def _replicas_for(arena: Arena, zones: Ints) -> Ints:
    """Replicas of zones (k,) for who is nearest to each, and more where room is cheapest until all have room."""
    if not arena.is_capacitated:
        return np.ones(len(zones), dtype=np.int64)
    room, free, cost = arena.room[zones], arena.free[zones], arena.replica_cost[zones]
    load = np.bincount(arena.cost[:, zones].argmin(axis=1), arena.demand, len(zones))
    held: Ints = np.clip((room < load[:, None]).sum(axis=1), 1, free)
    each = np.arange(len(zones))
    while room[each, held].sum() < arena.demand_sum and held.sum() < arena.bounds.replicas_max:
        gained = room[each, np.minimum(held + 1, free)] - room[each, held]
        if not gained.any():
            break
        held[np.where(gained > 0, cost / np.maximum(gained, 1e-9), np.inf).argmin()] += 1
    return held


def _first_zones(arena: Arena, targets: Targets) -> Ints:
    """Zones with replicas one after the other, each the best for what the earlier ones leave, by bounds alone."""
    replicas = np.zeros(len(arena.fixed), dtype=np.int64)
    if not arena.is_capacitated or not len(targets.zones):
        return replicas
    value = np.where(targets.cost < arena.unserved[:, None], targets.cost, -np.inf).max(axis=1, initial=0.0)
    free = arena.free[targets.zones]
    at, held = np.repeat(np.arange(len(free)), free), np.concatenate([np.arange(1, most + 1) for most in free])
    zones, served = targets.zones[at], targets.cost[:, at]
    room, own = arena.room[zones, held], arena.fixed[zones] + held * arena.replica_cost[zones]
    for _ in range(arena.bounds.zones_max):
        price = filling_price(value, served, (arena.demand, room))
        cost = served + arena.demand[:, None] * price
        bound = np.minimum(value[:, None], cost).sum(axis=0) - price * room + own
        most = np.minimum(arena.domain_room(replicas)[zones], arena.bounds.replicas_max - int(replicas.sum()))
        bound[(replicas[zones] > 0) | (held > most)] = np.inf
        best = int(bound.argmin())
        if not bound[best] < value.sum():
            break
        replicas[zones[best]] = held[best]
        value = np.minimum(value, cost[:, best])
    return replicas


def _advance(state: Search) -> bool:
    """One move; False where there is none left."""
    moves = score_moves(state.arena, state.position, state.targets)
    chosen = _choose(state, moves)
    if (chosen is None or not _improves(chosen[0], state.position)) and (_price_in(state) or _exchange(state)):
        return True
    if chosen is None:
        return False
    following, touched = chosen
    state.steps += 1
    improved = _record(state, following)
    climbs = _improves(following, state.position)
    state.idle = 0 if improved or climbs else state.idle + 1
    state.position = following
    state.tabu[list(touched)] = state.steps + TENURE
    if not state.best and state.idle >= INFEASIBLE_PATIENCE:
        _raise_stakes(state)
    return True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A move that may be made: what it costs at least, the zones it touches, the replicas (Z,) after it."""

    bound: float
    touched: tuple[int, ...]
    after: Ints
    key: bytes


def _choose(state: Search, moves: Moves) -> tuple[Position, tuple[int, ...]] | None:
    """The first evaluated move that improves the position, else the best of those tried; and the zones it touched."""
    tries = TRIES
    best: tuple[Position, tuple[int, ...]] | None = None
    for candidate in _promising(state, moves):
        if tries == 0 or (best and (candidate.bound >= best[0].total or _is_spent(state))):
            break
        if candidate.key not in state.known:
            tries -= 1
            state.known[candidate.key] = state.arena.evaluate(candidate.after, state.position)
        found = state.known[candidate.key]
        if found.replicas.tobytes() in state.visited:
            continue
        if best is None or found.total < best[0].total:
            best = (found, candidate.touched)
        if _improves(found, state.position):
            break
    return best


def _promising(state: Search, moves: Moves) -> Iterator[Candidate]:
    """Moves by their bound, lowest first; where room is scarce by a bound with prices of their own."""
    if not state.arena.is_capacitated:
        return _allowed(state, moves)
    few = list(islice(_allowed(state, moves), TIGHTENED_MAX))
    fresh = [at for at, candidate in enumerate(few) if candidate.key not in state.known]
    if len(fresh) > 1:
        bounds = tighten(state.arena, state.position, [few[at].after for at in fresh])
        for at, bound in zip(fresh, bounds.tolist(), strict=True):
            few[at] = replace(few[at], bound=max(bound, few[at].bound))
    return iter(sorted(few, key=lambda candidate: candidate.bound))


def _allowed(state: Search, moves: Moves) -> Iterator[Candidate]:
    """Moves that are not tabu, unless they may lead to the best plan yet, and do not lead back."""
    tabu = state.tabu > state.steps
    if tabu.any():
        sources = tabu[moves.sources.zones]
        sources[0] = False
        touched = sources[:, None] | np.append(tabu[moves.targets.zones], False)
        moves.bound[touched & (moves.bound >= _best_total(state) - TOLERANCE)] = INFINITE
    for at, bound in _ranked(moves.bound):
        if bound == INFINITE:
            return
        after = moves.apply(at)
        key = after.tobytes()
        if key not in state.visited:
            yield Candidate(bound, moves.zones_of(at), after, key)


def _ranked(bound: Floats) -> Iterator[tuple[int, float]]:
    """Flat indexes and values of the lowest bounds, lowest first, ties by index."""
    flat = bound.ravel()
    first = int(flat.argmin())
    yield first, float(flat[first])
    count = min(RANKED_MAX, len(flat))
    lowest = np.sort(np.argpartition(flat, count - 1)[:count])
    values = flat[lowest]
    order = np.argsort(values, kind="stable")[1:]
    yield from zip(lowest[order].tolist(), values[order].tolist(), strict=True)


def _record(state: Search, position: Position) -> bool:
    """Keeps a feasible position among the best; whether it is the best yet."""
    state.visited.add(position.replicas.tobytes())
    if not position.feasible:
        return False
    improved = position.total < _best_total(state) - TOLERANCE * (1 + abs(position.total))
    state.best = sorted([*state.best, position], key=lambda kept: kept.total)[:KEPT]
    return improved


def _best_total(state: Search) -> float:
    return state.best[0].total if state.best else np.inf


def _improves(found: Position, present: Position) -> bool:
    return found.total < present.total - TOLERANCE * (1 + abs(present.total))


def _price_in(state: Search) -> bool:
    """At a local optimum, takes in zones from outside the short list whose moves promise a better plan."""
    if state.position.total >= state.priced_at or len(state.targets.zones) >= int(state.arena.usable.sum()):
        return False
    state.priced_at = state.position.total
    outside = state.arena.usable.copy()
    outside[state.targets.zones] = False
    moves = score_moves(state.arena, state.position, targets_of(state.arena, np.flatnonzero(outside)))
    least = moves.bound[:, :-1].min(axis=0)
    order = np.argsort(least, kind="stable")[:PRICED_IN]
    better = moves.targets.zones[order[least[order] < state.position.total - TOLERANCE]]
    if not len(better):
        return False
    state.targets = targets_of(state.arena, np.sort(np.concatenate((state.targets.zones, better))))
    return True


def _exchange(state: Search) -> bool:
    """At a local optimum without scarce room, goes where two zones for two others lead, if that is better."""
    if state.arena.is_capacitated or state.position.total >= state.exchanged_at:
        return False
    state.exchanged_at = state.position.total
    for replicas in better_exchanges(state.arena, state.position, state.ranked)[:TRIES]:
        found = state.arena.evaluate(replicas)
        if _improves(found, state.position):
            state.position, state.idle = found, 0
            _record(state, found)
            return True
    return False


def _raise_stakes(state: Search) -> None:
    state.arena.make_missing_dearer()
    state.known.clear()
    state.targets = targets_of(state.arena, state.targets.zones)
    state.position = state.arena.evaluate(state.position.replicas)


def _ranking(arena: Arena) -> Ranking:
    ranking = rank_zones(relaxed_of(arena, np.flatnonzero(arena.usable)))
    arena.work += ranking.work
    return ranking


def _short_list(arena: Arena, ranking: Ranking) -> Ints:
    """Zones worth trying first, ascending: of least reduced cost, of the first plan, and some of every domain."""
    listed = ranking.zones[: LISTED_CAPACITATED if arena.is_capacitated else LISTED]
    near = ranking.zones
    picked = [listed, ranking.cheapest, *(near[_first_of_each(labels[near])] for labels in arena.domains)]
    return np.unique(np.concatenate(picked))


def relaxed_of(arena: Arena, zones: Ints) -> Relaxed:
    """The problem as the relaxation sees it: where room is scarce replicas come in fractions."""
    bounds, own, cost, room = arena.bounds, arena.fixed[zones], arena.cost.take(zones, axis=1), None
    if arena.is_capacitated:
        room = arena.room[zones, arena.free[zones]]
        each = arena.replica_cost[zones] * arena.free[zones] / np.maximum(room, 1.0)
        cost += arena.demand[:, None] * each
        own = own + 0.5 * arena.replica_cost[zones]
    else:
        own = own + arena.replica_cost[zones]
    return Relaxed(zones, cost, own, room, arena.demand, bounds.zones_min, bounds.zones_max)


def _first_of_each(labels: Ints) -> Ints:
    """The first two of every domain, of at most 16 domains."""
    order = np.argsort(labels, kind="stable")
    ranked = labels[order]
    start: Bools = np.ones(len(ranked), dtype=np.bool_)
    start[2:] = ranked[2:] != ranked[:-2]
    return np.sort(order[start])[:32]
