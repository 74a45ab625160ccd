"""The joint plan: zones, replicas and shares chosen together, with what users will feel, what it costs and what if.

Filters have said which zones may; here they compete. A workload for one zone gets the best one; one that may be spread
is a facility location problem (``joint``), built here from the same columns: what a share costs, what a replica costs,
how much load so many replicas take before users wait too long. Every zone of a plan has a lawful fallback, or none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hansa_control.domain.claim_groups import facts_memo
from hansa_control.domain.claims import claims_of
from hansa_control.domain.feasibility import Verdicts
from hansa_control.domain.filters import Ints
from hansa_control.domain.joint import place_jointly
from hansa_control.domain.joint_problem import (
    SHARE_UNITS,
    UNLIMITED_MILLIRPS,
    Bounds,
    Infeasible,
    JointPlan,
    JointProblem,
    Obstacle,
    Spread,
)
from hansa_control.domain.model import (
    AcceleratorPool,
    Assignment,
    FactKind,
    Plan,
    Reason,
    SpreadLevel,
    SpreadRule,
    WorkloadSpec,
    Zone,
    ZoneBounds,
)
from hansa_control.domain.prediction import Site, plan_of
from hansa_control.domain.queueing import Station, WaitBound, load_max_table
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.scoring import (
    Floats,
    Scores,
    demand_of,
    euro_per_replica_hour,
)
from hansa_control.domain.service import HALF_TAIL, matching_time, service_us_at, station_of

WAIT_SHARE_PERCENT = 25
"""Of what the response budget leaves beside the service, the part that replicas of a spread workload may spend waiting.

Fixing it beforehand makes the load that a zone takes depend on the zone alone, so that the choice of zones stays a
linear problem with a provable optimum; what users are then predicted to feel is computed from the loads that result.
"""

WAIT_UNBOUNDED_US = 60_000_000

OBSTACLES = {
    Obstacle.NO_ADMISSIBLE_ZONE: Reason.LATENCY_EXCEEDED,
    Obstacle.CAPACITY: Reason.UNSTABLE,
    Obstacle.ZONES_MIN: Reason.SPREAD_UNMET,
    Obstacle.SPREAD: Reason.SPREAD_UNMET,
    Obstacle.REPLICAS: Reason.SPREAD_UNMET,
    Obstacle.NONE_FOUND: Reason.SPREAD_UNMET,
}


class NoPlan(NamedTuple):
    """Why feasible zones do not add up to a plan, for programs and for people."""

    reason: Reason
    message: str


class _Candidates(NamedTuple):
    """The zones that compete: their rows, and the kind of pool that each would use, -1 where none is needed."""

    rows: Ints
    kinds: Ints


def part_of(spec: WorkloadSpec, assignment: Assignment) -> WorkloadSpec:
    """What one zone is asked for: its replicas, in that zone alone, and its share of the demand.

    A zone on standby, which has no share, is asked whether it may serve where it could; with the least demand there is.
    """
    able = {latency.access_point for latency in assignment.latencies}
    access = tuple(
        replace(at, demand_millirps=max(1, -(-at.demand_millirps * share // SHARE_UNITS)))
        for at, share in zip(spec.access, assignment.share_permille, strict=True)
        if at.access_point in able
    )
    price_max = 0  # of the whole workload; its home operator has checked it
    return replace(
        spec,
        access=access,
        replicas=assignment.replicas,
        replicas_max=0,
        zones=ZoneBounds(),
        spread=(),
        price_millieur_per_hour_max=price_max,
    )


def make_plan(verdicts: Verdicts, scores: Scores) -> Plan | NoPlan | None:
    """The plan for a workload; None where no zone is feasible, which the rejections explain."""
    if verdicts.question.spec.zones.maximum == 1:
        best = scores.best(2)
        if not best:
            return None
        whole = (SHARE_UNITS,) * len(verdicts.question.spec.access)
        fallback = verdicts.columns.zones[best[1]].id if len(best) > 1 else None
        site = Site(best[0], int(verdicts.replicas[best[0]]), whole)
        return plan_of(verdicts, [site], [fallback], float(scores.total[best[0]]))
    return _joint_plan(verdicts, scores)


def _joint_plan(verdicts: Verdicts, scores: Scores) -> Plan | NoPlan | None:
    rows = np.flatnonzero(np.isfinite(scores.total))
    if not len(rows):
        return None
    candidates = _Candidates(rows, _kinds(verdicts, rows))
    problem = build_problem(verdicts, scores, candidates)
    answer = place_jointly(problem)
    if isinstance(answer, Infeasible):
        return _no_plan(verdicts, answer)
    sites = [
        Site(int(rows[zone]), replicas, tuple(answer.share_permille[:, n].tolist()))
        for n, (zone, replicas) in enumerate(zip(answer.zones, answer.replicas, strict=True))
    ]
    ranking = scores.total[rows]
    stand_ins = [_stand_in(problem, answer, n, ranking) for n in range(len(sites))]
    fallbacks = [None if at is None else verdicts.columns.zones[int(rows[at])].id for at in stand_ins]
    plan = plan_of(verdicts, sites, fallbacks, -answer.objective)
    bound = verdicts.question.spec.price_millieur_per_hour_max
    if bound and plan.price_millieur_per_hour > bound:
        return NoPlan(Reason.PRICE_EXCEEDED, f"the best plan costs {plan.price_millieur_per_hour} > {bound} millieur/h")
    return plan


def build_problem(verdicts: Verdicts, scores: Scores, candidates: _Candidates) -> JointProblem:
    """The facility location problem of a workload over the zones that compete."""
    spec, rows = verdicts.question.spec, candidates.rows
    demand = demand_of(spec)
    weight = spec.objective.latency_permille / 1_000 / (demand.sum() * max(spec.latency.rtt_us_max, 1))
    rtt_us = verdicts.reach.rtt_us[:, rows]
    most = max(spec.replicas_max, spec.replicas)
    replica_cost = spec.objective.price_permille / 1_000 * euro_per_replica_hour(verdicts)[rows]
    if "carbon" in scores.terms:
        replica_cost = replica_cost - scores.terms["carbon"][rows]
    once = [values[rows] for name, values in scores.terms.items() if name not in {"latency", "price", "carbon"}]
    free = np.minimum(_replicas_free(verdicts, candidates), most)
    # Nothing asks what more replicas would carry than fit into the roomiest zone.
    loads, admissible = _loads(verdicts, candidates, max(spec.replicas, int(free.max(initial=1))))
    return JointProblem(
        cost_of_share=np.where(rtt_us == CUT_OFF, 0.0, demand[:, None] * rtt_us * weight),
        admissible=verdicts.reach.admissible[:, rows] & admissible,
        demand_millirps=np.array([at.demand_millirps for at in spec.access], dtype=np.int64),
        load_max_millirps=loads,
        replicas_free=free,
        replica_cost=replica_cost,
        open_cost=-np.add.reduce(once),
        bounds=Bounds(spec.replicas, most, spec.zones.minimum, spec.zones.maximum),
        spreads=tuple(_spread(verdicts, rule, rows) for rule in spec.spread),
    )


def _kinds(verdicts: Verdicts, rows: Ints) -> Ints:
    if verdicts.question.spec.accelerator is None:
        return np.full(len(rows), -1, dtype=np.int64)
    return verdicts.columns.standing.pools.kind[verdicts.accelerators.pool_row[rows]]


def _loads(verdicts: Verdicts, candidates: _Candidates, most: int) -> tuple[Ints, np.ndarray]:
    """Load by zone and replicas, and by access point and zone whether the way leaves the wait that loads allow for."""
    spec, rows = verdicts.question.spec, candidates.rows
    loads = np.zeros((len(rows), most + 1), dtype=np.int64)
    allowed = np.ones((len(spec.access), len(rows)), dtype=np.bool_)
    if spec.service is None:
        loads[:, 1:] = UNLIMITED_MILLIRPS
        return loads, allowed
    for kind in np.unique(candidates.kinds).tolist():
        mine = np.flatnonzero(candidates.kinds == kind)
        pool = verdicts.columns.standing.pools.kinds[kind] if kind >= 0 else None
        loads[mine], longest_us = _load_table(verdicts, pool, most)
        allowed[:, mine] = verdicts.reach.rtt_us[:, rows[mine]] <= longest_us
    return loads, allowed


def _load_table(verdicts: Verdicts, pool: AcceleratorPool | None, most: int) -> tuple[Ints, int]:
    """Greatest load by replicas, and the longest way that leaves room for the wait that it may cause."""
    spec = verdicts.question.spec
    time = matching_time(spec.service, pool) if spec.service else None
    if spec.service is None or time is None:
        return np.zeros(most + 1, dtype=np.int64), -1
    bound_us, percentile = spec.latency.response_us_max, spec.latency.percentile
    served_us = service_us_at(time, percentile)
    wait_max_us = (bound_us - served_us) * WAIT_SHARE_PERCENT // 100 if bound_us else WAIT_UNBOUNDED_US
    if wait_max_us < 0:
        return np.zeros(most + 1, dtype=np.int64), -1
    bound = WaitBound(HALF_TAIL.get(percentile, 75), wait_max_us)
    table = _load_max_table(verdicts, station_of(spec.service, time, 1), (bound, most))
    return table, bound_us - served_us - wait_max_us if bound_us else 1 << 50


def _load_max_table(verdicts: Verdicts, replica: Station, asked: tuple[WaitBound, int]) -> Ints:
    """The loads of so many replicas, kept with what zones are: many requests and kinds of pool share one, worked out
    for the next power of two, so that room that comes and goes does not have it worked out anew.
    """
    bound, most = asked
    size = 1 << (most - 1).bit_length()
    kept, key = verdicts.columns.standing.kept, ("loads", replica, bound, size)
    known: Ints | None = kept.get(key)
    if known is None:
        known = load_max_table(replica, bound, size)
        kept.keep(key, known)
    return known[: most + 1]


def _replicas_free(verdicts: Verdicts, candidates: _Candidates) -> Ints:
    """How many replicas each zone has room for: by CPU, memory and devices of the pool that would be used."""
    spec, columns, rows = verdicts.question.spec, verdicts.columns, candidates.rows
    free = columns.cpu_free_millis[rows] // max(spec.cpu_millis, 1)
    free = np.minimum(free, columns.memory_free_mib[rows] // max(spec.memory_mib, 1))
    if spec.accelerator is not None and spec.accelerator.count:
        devices = columns.devices_free[verdicts.accelerators.pool_row[rows]]
        free = np.minimum(free, devices // spec.accelerator.count)
    return free


def _spread(verdicts: Verdicts, rule: SpreadRule, rows: Ints) -> Spread:
    """A rule over the labels of zones; what is not known of a zone is a domain that it shares with all such zones."""
    return Spread(_labels(verdicts, rule.level)[rows], rule.domains_min, rule.replicas_per_domain_max)


def _labels(verdicts: Verdicts, level: SpreadLevel) -> Ints:
    """The number of every zone's domain, in the order of their names; kept until a fact begins or ends."""
    kept, now_ms = facts_memo(verdicts.question), verdicts.question.now_ms
    known: Ints | None = kept.get(("domains", level))
    if known is None:
        names = [domain_of(level, zone, now_ms) for zone in verdicts.columns.standing.zones]
        known = np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
        kept.keep(("domains", level), known)
    return known


def domain_of(level: SpreadLevel, zone: Zone, now_ms: int) -> str:
    """What fails together with a zone at a level; zones with the same name are one domain."""
    if level is SpreadLevel.ZONE:
        return str(zone.id)
    if level is SpreadLevel.OPERATOR:
        return zone.id.operator
    if level is SpreadLevel.FAILURE_DOMAIN:
        return zone.inventory.failure_domain or f"node {zone.inventory.node}"
    return ",".join(claims_of(zone.facts, FactKind.SITE_COUNTRY, now_ms).values())


def _no_plan(verdicts: Verdicts, answer: Infeasible) -> NoPlan:
    spec = verdicts.question.spec
    words = {
        Obstacle.NO_ADMISSIBLE_ZONE: "no feasible zone serves it in time",
        Obstacle.CAPACITY: "feasible zones do not have room for all of its demand",
        Obstacle.ZONES_MIN: f"fewer than {spec.zones.minimum} zones are feasible",
        Obstacle.SPREAD: "feasible zones are in too few domains",
        Obstacle.REPLICAS: f"feasible zones have no room for {spec.replicas} replicas",
        Obstacle.NONE_FOUND: "no plan was found within the search; one may exist",
    }[answer.obstacle]
    if not answer.proven and answer.obstacle is not Obstacle.NONE_FOUND:
        words += ", as far as was searched; a plan may exist"
    at = f"access point {spec.access[answer.access_point].access_point}: " if answer.access_point >= 0 else ""
    return NoPlan(OBSTACLES[answer.obstacle], f"{at}{words}")


def _stand_in(problem: JointProblem, answer: JointPlan, n: int, ranking: Floats) -> int | None:
    """The best zone outside the plan that could take the n-th zone's whole part under the same policy, or None."""
    served = answer.share_permille[:, n] > 0
    load = int((problem.demand_millirps * answer.share_permille[:, n]).sum()) // SHARE_UNITS
    replicas = answer.replicas[n]
    able = problem.admissible[served].all(axis=0) & (problem.replicas_free >= replicas)
    able &= problem.load_max_millirps[:, min(replicas, problem.load_max_millirps.shape[1] - 1)] >= load
    able[list(answer.zones)] = False
    return int(np.where(able, ranking, -np.inf).argmax()) if able.any() else None
