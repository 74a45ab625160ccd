"""How near the optimum placement comes, on seeded instances whose optimum is known, and its time.

Quality is a proven lower bound over the heuristic's objective, so it is never flattered: 1 is optimal. The optimum is
known where bound and best objective known are a thousandth apart at most; mean and worst are over those. The others are
named with their lower bound, and counted in the rows against bounds. All costs are positive by construction, so no
objective is shifted. The floor of a row is the quality of a greedy that adds the best zone (or workload) and never
looks back. Joint instances: access points and zones in a plane, random matrices, costs that are good or bad for all,
spread, tight capacity, and the European backbone, whose distances are shortest paths. Re-packing: demand of 55, 75 and
85 % of given capacity in a plane, and users and zones on the backbone.

Every seed counts; none is drawn again. Proofs: where room is not scarce, branch and bound over zones (``_siting``); of
re-packing, sets of workloads that fill a zone (``_patterns``); else HiGHS, without zones that no better plan can have:
those whose reduced cost at a Lagrangian bound exceeds the gap to the heuristic's plan, which loses nothing. Where HiGHS
proves that there is no plan the instance has no quality; where only the heuristic found none, its quality is 0. Times
are of CPU (``process_time``), because the machine is shared; HiGHS' own limit is of the clock.

    python tools/bench/quality.py            # some minutes on one core
    python tools/bench/quality.py --quick    # as in make bench: few instances, below a minute
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from hansa_control.domain.exact import ExactLimits, solve_joint, solve_repacking
from hansa_control.domain.joint import (
    Bounds,
    Infeasible,
    JointPlan,
    JointProblem,
    SearchLimits,
    Spread,
    place_jointly,
)
from hansa_control.domain.repacking import RepackingLimits, RepackingProblem, repack
from hansa_sim.topology import as_graph, load_topology

from tools.bench import _patterns, _siting

UNLIMITED = 1 << 50
KINDS = ("plane", "matrix", "correlated", "spread", "tight", "backbone")
EXACT_ZONES = 60
ZONES_FOR_HIGHS = 180
KNOWN_GAP = 1e-3
FILLS = {"repacking": 0.55, "repacking.fill75": 0.75, "repacking.fill85": 0.85, "repacking.backbone": 0.75}


@dataclass(frozen=True)
class Result:
    """Quality of one instance and of the floor, and whether the optimum is known to a thousandth. NaN: no plan is."""

    kind: str
    seed: int
    quality: float
    floor: float
    known: bool


@dataclass(frozen=True)
class Size:
    """How many instances of each joint kind and of re-packing, and how long HiGHS may take for each."""

    joint: int = 36
    repacking: int = 16
    large: int = 1
    joint_limit_s: float = 40.0
    repacking_limit_s: float = 30.0
    timed: int = 100


QUICK = Size(joint=2, repacking=1, large=0, joint_limit_s=8.0, repacking_limit_s=2.0, timed=10)


def rows(*, quick: bool = True) -> list[dict[str, object]]:
    """The table: number of instances, mean and worst quality of each kind, and times. The full run takes minutes."""
    size = QUICK if quick else Size()
    joint = [_joint_result(kind, seed, size) for kind in KINDS for seed in range(size.joint)]
    table = [_quality(f"joint.{kind}", [r for r in joint if r.kind == kind], targets=False) for kind in KINDS]
    table.append(_quality("joint", joint, targets=True))
    packed = [_repacking_result(name, seed, size) for name in FILLS for seed in range(size.repacking + size.large)]
    table += [_quality(name, [r for r in packed if r.kind == name], targets=name == "repacking") for name in FILLS]
    table.append(_quality("repacking.all", packed, targets=True))
    return [*(row for part in table for row in part), *_times(size)]


def joint_instance(kind: str, seed: int, shape: tuple[int, int]) -> JointProblem:
    """A seeded instance of that kind for (A, Z)."""
    stream = np.random.default_rng([seed, KINDS.index(kind)])
    count, zones = shape
    demand = stream.integers(100, 5_000, count)
    cost = 10 * _cost(kind, stream, shape) * (demand / demand.sum())[:, None]
    free = stream.integers(1, 5, zones)
    load = np.tile(np.array([0] + [UNLIMITED] * 4), (zones, 1))
    bounds, spreads = Bounds(1, 20, 1, 8), tuple[Spread, ...]()
    if kind == "tight":
        one = (stream.random(zones) * 0.6 + 0.25) * demand.sum() / 7.5
        load = (one[:, None] * np.arange(5) * np.linspace(1, 1.1, 5)).astype(np.int64)
    if kind == "spread":
        bounds = Bounds(4, 12, 3, 8)
        spreads = (Spread(stream.integers(0, 6, zones), 3, 2),)
    admissible = stream.random(shape) < 0.9
    admissible[np.arange(count), stream.integers(0, zones, count)] = True
    own = (stream.random(zones) * 5 + 2, stream.random(zones) * 10 + 3)
    return JointProblem(cost, admissible, demand, load, free, own[0], own[1], bounds, spreads)


def repacking_instance(seed: int, shape: tuple[int, int], fill: float = 0.55, kind: str = "") -> RepackingProblem:
    """A seeded instance for (W, Z) whose demand is that part of the capacity of two zones for three workloads."""
    stream = np.random.default_rng([seed, 99])
    count, zones = shape
    at_workload, at_zone = stream.random((count, 2)), stream.random((zones, 2))
    way = 20 * np.linalg.norm(at_workload[:, None] - at_zone, axis=2)
    if kind == "repacking.backbone":
        way = _backbone(np.random.default_rng([seed, 98]), shape)
    cost = way + stream.random((1, zones)) * 5 + 2
    devices = stream.integers(0, 5, count) * (stream.random(count) < 0.6)
    demand = np.stack((stream.integers(1, 17, count), stream.integers(1, 33, count), devices), axis=1)
    capacity = np.stack(
        (stream.integers(20, 65, zones), stream.integers(32, 129, zones), stream.integers(2, 9, zones)), 1
    )
    scale = demand.sum(axis=0) / capacity.sum(axis=0) / fill
    capacity = np.maximum(np.ceil(capacity * np.maximum(scale, 0.2)), demand.max(axis=0)).astype(np.int64)
    current = np.where(stream.random(count) < 0.7, stream.integers(0, zones, count), -1)
    admissible = stream.random(shape) < 0.8
    return RepackingProblem(
        cost, admissible, demand, capacity, stream.random(zones) * 5 + 2, stream.random(count) * 5, current
    )


def without_hopeless_zones(problem: JointProblem, objective: float) -> tuple[JointProblem, float]:
    """The problem with only zones that a plan below ``objective`` may have, and a lower bound on every plan.

    Every better plan stays possible.

    Lagrangian bound of sum x = 1 (Cornuejols, Fisher and Nemhauser 1977), by subgradient steps: a zone whose reduced
    cost is above objective - bound cannot be open in a better plan.
    """
    own = problem.replica_cost + problem.open_cost
    cost = np.where(problem.admissible, problem.cost_of_share, np.inf)
    value, best, kept = np.partition(cost, 2, axis=1)[:, 2], -np.inf, np.ones(len(own), dtype=bool)
    step = 1.0
    for turn in range(400):
        gain = np.maximum(value[:, None] - cost, 0.0)
        reduced = own - gain.sum(axis=0)
        chosen = np.argsort(reduced)[: problem.bounds.zones_max]
        chosen = chosen[reduced[chosen] < 0]
        bound = float(value.sum() + reduced[chosen].sum())
        best = max(best, bound)
        kept &= bound + reduced <= objective + 1e-9
        slope = 1.0 - (gain[:, chosen] > 0).sum(axis=1)
        if not slope.any():
            break
        value = value + step * (objective - bound) / float(slope @ slope) * slope
        step *= 0.98 if turn % 4 == 3 else 1.0
    return _restrict(problem, np.flatnonzero(kept)), best


def _restrict(problem: JointProblem, zones: np.ndarray) -> JointProblem:
    spreads = tuple(replace(spread, labels=spread.labels[zones]) for spread in problem.spreads)
    return JointProblem(
        problem.cost_of_share[:, zones], problem.admissible[:, zones], problem.demand_millirps,
        problem.load_max_millirps[zones], problem.replicas_free[zones], problem.replica_cost[zones],
        problem.open_cost[zones], problem.bounds, spreads,
    )  # fmt: skip


def _cost(kind: str, stream: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    count, zones = shape
    if kind == "matrix":
        return stream.random(shape) * 30 + 1
    if kind == "correlated":
        return stream.random((1, zones)) * 20 + stream.random((count, 1)) * 5 + stream.random(shape) * 8
    if kind == "backbone":
        return _backbone(stream, shape)
    points, places = stream.random((count, 2)), stream.random((zones, 2))
    return np.asarray(30 * np.linalg.norm(points[:, None] - places, axis=2) + 5)


def _backbone(stream: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Round-trip milliseconds between nodes of the committed European backbone, along shortest paths."""
    graph = as_graph(load_topology())
    parts: list[list[str]] = [sorted(part) for part in nx.connected_components(graph)]
    names = max(parts, key=len)
    picked = [names[at] for at in stream.choice(len(names), sum(shape), replace=False)]
    paths = [nx.single_source_dijkstra_path_length(graph, name, weight="length_m") for name in picked[: shape[0]]]
    return np.array([[5.4 + 1.94 * 2 * path[name] / 200_000 for name in picked[shape[0] :]] for path in paths])


def _shape(kind: str, seed: int) -> tuple[int, int]:
    """3 to 50 access points; every third instance many zones, the others as many as HiGHS solves."""
    stream = np.random.default_rng([seed, 7])
    most = {"tight": 40, "backbone": 400}.get(kind, 1_000) if seed % 3 == 0 else EXACT_ZONES
    least = 20 if seed % 3 or kind == "tight" else 100
    return int(stream.integers(3, 51)), int(stream.integers(least, most + 1))


def _joint_result(kind: str, seed: int, size: Size) -> Result:
    problem = joint_instance(kind, seed, _shape(kind, seed))
    plan = place_jointly(problem)
    if isinstance(plan, Infeasible):
        exact = solve_joint(problem, ExactLimits(1e-4, size.joint_limit_s))
        print(f"{kind} {seed}: {plan}, proven {exact.proven_infeasible}", file=sys.stderr)
        return Result(kind, seed, np.nan if exact.proven_infeasible else 0.0, 0.0, exact.proven_infeasible)
    best, bound = _joint_proof(problem, plan, size.joint_limit_s)
    greedy = bound / _greedy_objective(problem, plan)
    return _told(Result(kind, seed, bound / plan.objective, greedy, best - bound <= KNOWN_GAP * best))


def _told(result: Result) -> Result:
    """The result, after it was said to whoever watches."""
    still_open = "" if result.known else " open: at least this"
    print(f"{result.kind} {result.seed} {result.quality:.4f}{still_open}", file=sys.stderr, flush=True)
    return result


def _joint_proof(problem: JointProblem, plan: JointPlan, limit_s: float) -> tuple[float, float]:
    """The best objective known and a lower bound on every plan's."""
    smaller, bound = without_hopeless_zones(problem, plan.objective)
    if not len(smaller.open_cost):
        return plan.objective, plan.objective
    sites = _siting.sites_of(smaller)
    if sites is not None:
        return _siting.prove(sites, plan.objective)
    if len(smaller.open_cost) > ZONES_FOR_HIGHS:
        return plan.objective, min(bound, plan.objective)
    exact = solve_joint(smaller, ExactLimits(1e-4, limit_s))
    if exact.proven_infeasible:
        return plan.objective, plan.objective
    best = min(exact.objective, plan.objective)
    return best, min(max(exact.lower_bound, bound), best)


def _greedy_objective(problem: JointProblem, plan: JointPlan) -> float:
    """What the construction alone reaches; infinite where it finds no plan."""
    first = place_jointly(problem, SearchLimits(work_max=6_000))
    return np.inf if isinstance(first, Infeasible) else max(first.objective, plan.objective)


def _repacking_result(name: str, seed: int, size: Size) -> Result:
    """Small ones, then large ones; the proof is of sets of workloads where all have a zone, else HiGHS'."""
    stream = np.random.default_rng([seed, 3])
    shape = (int(stream.integers(20, 41)), int(stream.integers(10, 21))) if seed < size.repacking else (200, 200)
    problem = repacking_instance(seed, shape, FILLS[name], name)
    found, greedy = repack(problem), repack(problem, RepackingLimits(work_max=0))
    if not found.unplaced:
        best, bound = _patterns.prove(problem, found.zones, size.repacking_limit_s)
        floor = 0.0 if greedy.unplaced else bound / greedy.objective
        return _told(Result(name, seed, bound / found.objective, floor, best - bound <= KNOWN_GAP * best))
    exact = solve_repacking(problem, ExactLimits(1e-4, size.repacking_limit_s))
    if np.isfinite(exact.objective) and len(found.unplaced) > exact.unplaced:
        return _told(Result(name, seed, 0.0, 0.0, known=True))
    bound = exact.bound_for(len(found.unplaced))
    floor = exact.bound_for(len(greedy.unplaced)) / greedy.objective
    known = min(found.objective, exact.objective) - bound <= KNOWN_GAP * found.objective
    return _told(Result(name, seed, min(1.0, bound / found.objective), floor, known))


def _quality(name: str, results: list[Result], *, targets: bool) -> list[dict[str, object]]:
    """Rows of one kind: over instances of known optimum, which the targets are about, and over all against bounds."""
    counted = [result for result in results if not np.isnan(result.quality)]
    known = [result for result in counted if result.known]
    still_open = [result for result in counted if not result.known]
    names = " ".join(f"{result.kind}/{result.seed}>={result.quality:.4f}" for result in still_open)
    spread = _distribution(np.array([r.quality for r in counted]))
    print(f"{name}: n={len(counted)} of {len(results)}, {len(still_open)} open {names} {spread}", file=sys.stderr)
    table = [
        _row(f"quality.{name}.known", (float(len(known)), "instances"), None, None),
        _row(f"quality.{name}.open", (float(len(still_open)), "instances"), None, None),
    ]
    if known:
        table += _mean_and_worst(name, known, (0.99, 0.95) if targets else (None, None))
    return table + (_mean_and_worst(f"{name}.bounds", counted, (None, None)) if still_open else [])


def _mean_and_worst(
    name: str, results: list[Result], targets: tuple[float | None, float | None]
) -> list[dict[str, object]]:
    values, floors = np.array([r.quality for r in results]), np.array([r.floor for r in results])
    return [
        _row(f"quality.{name}.mean", (float(values.mean()), "share"), float(floors.mean()), targets[0]),
        _row(f"quality.{name}.worst", (float(values.min()), "share"), float(floors.min()), targets[1]),
    ]


def _distribution(values: np.ndarray) -> str:
    cuts = " ".join(f"p{p}={np.percentile(values, p):.4f}" for p in (0, 1, 5, 10, 25, 50))
    return f"{cuts} mean={values.mean():.4f} optimal={(values > 0.999).mean():.2f}"


def _row(name: str, value: tuple[float, str], floor: float | None, target: float | None) -> dict[str, object]:
    number, unit = value
    ratio = number / floor if floor else None
    met = None if target is None else (number >= target if unit == "share" else number <= target)
    return {
        "name": name, "value": number, "unit": unit, "floor": floor, "ratio": ratio, "target": target, "met": met
    }  # fmt: skip


def _times(size: Size) -> list[dict[str, object]]:
    """Times of one workload with 50 access points on 1,000 zones, of each kind in turn, and of re-packing 200 x 200."""
    taken = []
    gc.disable()
    for at in range(size.timed):
        problem = joint_instance(KINDS[at % 5], at, (50, 1_000))
        began = time.process_time()
        place_jointly(problem)
        taken.append(1_000 * (time.process_time() - began))
    gc.enable()
    packing = repacking_instance(0, (200, 200))
    began = time.process_time()
    repack(packing)
    packed_s = time.process_time() - began
    return [
        _row("quality.joint.50x1000.p50", (float(np.percentile(taken, 50)), "ms"), None, 20.0),
        _row("quality.joint.50x1000.p99", (float(np.percentile(taken, 99)), "ms"), None, 20.0),
        _row("quality.repacking.200x200", (packed_s, "s"), None, 2.0),
    ]


if __name__ == "__main__":
    for row in rows(quick="--quick" in sys.argv):
        print(row)
