"""What the engines measured of a policy, as a row of the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import percentiles_ns
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.latency.fault_course import Faulted
from hansa_sim.latency.faults_felt import felt, mean_replicas, moves_of, series_of
from hansa_sim.latency.hand_overs import mobility_of
from hansa_sim.latency.over_time import OverTime
from hansa_sim.latency.paired import MS_NS, PointSums, sums_of
from hansa_sim.latency.policies import Plan, carbon_of, watts_of
from hansa_sim.latency.results import CDF_PERCENTS, FaultsFelt, Interval, PointResult, Row, ZoneResult
from hansa_sim.latency.rows_of_all import WORST_FIRST, points_of_all, zones_of_all
from hansa_sim.latency.rows_of_tokens import token_row
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.traffic import Traffic
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A policy in a view with its plan, and what was measured of it, a result for each replication."""

    policy: PolicyName
    view: View
    plan: Plan
    measured: tuple[Measured, ...]
    over_time: OverTime
    faulted: Faulted | None


@dataclass(frozen=True, slots=True, eq=False)
class Ran(PointSums):
    """A row, with what pairs it to others."""

    row: Row


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What was played of one app: its world and its requests."""

    world: World
    traffic: Traffic
    played: Played

    @property
    def replicas(self) -> NDArray[np.float64]:
        """(Z,) those that run, in the mean where plans change."""
        return mean_replicas(self.played.plan, self.played.faulted)

    @property
    def bound_ns(self) -> int:
        """The app's bound on the response."""
        return self.traffic.bound_ns


def ran(world: World, traffic: Traffic, played: Played) -> Ran:
    """The row of what was played of one app."""
    sums = sums_of(played.measured, traffic.groups)
    points = _points(world, traffic, played, sums)
    row = _row([Part(world, traffic, played)], _zones(world, traffic, played), points)
    mobility = mobility_of(traffic, played.view, played.plan, played.measured)
    return Ran(sums.served, sums.sums_ns, replace(row, mobility=mobility))


def total(parts: Sequence[Part], each: Sequence[Ran]) -> Ran:
    """The row of all apps together, whose rows are ``each``."""
    if len(each) == 1:
        return each[0]
    rows = {part.world.loaded.scenario.app.name: one.row for part, one in zip(parts, each, strict=True)}
    joined = [sum(int(one.joined.sum()) for one in part.played.measured) for part in parts]
    row = _row(parts, zones_of_all(list(rows.values()), joined), points_of_all(rows))
    served, sums_ns = (np.concatenate([getattr(one, of) for one in each], axis=1) for of in ("served", "sums_ns"))
    messages = [f"{name}: {one.message}" for name, one in rows.items() if one.message]
    return Ran(served, sums_ns, replace(row, message="; ".join(messages), predicted_ms=None))


def running(world: World, replicas: NDArray[np.float64], devices: int) -> tuple[float, float, float]:
    """What replicas (Z,) cost in EUR an hour, draw in kW under load, and emit in g CO2 equivalent an hour."""
    count = replicas * devices
    price = np.array([zone.inventory.price_millieur_per_hour for zone in world.zones])
    kw = count * np.array([watts_of(zone) for zone in world.zones]) / 1_000
    grams = kw * np.array([carbon_of(zone) for zone in world.zones])
    return float((count * price).sum()) / 1_000, float(kw.sum()), float(grams.sum())


def _row(parts: Sequence[Part], zones: tuple[ZoneResult, ...], points: tuple[PointResult, ...]) -> Row:
    """What all parts felt together, replication by replication."""
    played, plan = parts[0].played, parts[0].played.plan
    runs = list(zip(*(part.played.measured for part in parts), strict=True))
    each = [one for run in runs for one in run]

    def over_runs(values: Sequence[float]) -> Interval:
        return Interval.of(values, parts[0].world.loaded.scenario.run.confidence_percent)

    counts = [np.sum([one.latency_counts.sum(axis=0) for one in run], axis=0) for run in runs]
    percentiles = np.array([percentiles_ns(run, [50, 95, 99, 99.9]) for run in counts]) / MS_NS
    lost = sum(_lost(one) for one in each)
    requests = sum(int(one.served.sum()) for one in each) + lost
    ran_by_part = [running(part.world, part.replicas, part.traffic.stations.devices) for part in parts]
    cost, power, carbon = (sum(column) for column in zip(*ran_by_part, strict=True))
    return Row(
        policy=played.policy.value,
        view=played.view.name.value,
        engine=_engine(parts[0]),
        requests=requests,
        mean_ms=over_runs([_mean_ns(run) / MS_NS for run in runs]),
        p50_ms=over_runs(percentiles[:, 0].tolist()),
        p95_ms=over_runs(percentiles[:, 1].tolist()),
        p99_ms=over_runs(percentiles[:, 2].tolist()),
        p999_ms=over_runs(percentiles[:, 3].tolist()),
        miss_share=over_runs([_missed(run) for run in runs]),
        wait_ms=over_runs([_mean_wait_ns(run) / MS_NS for run in runs]),
        unserved_share=lost / requests if requests else 0.0,
        cost_eur_per_hour=cost,
        power_kw=power,
        carbon_g_per_hour=carbon,
        unstable=tuple(zone.zone for zone in zones if zone.stability == Stability.UNSTABLE.value),
        message=plan.message,
        predicted_ms=dict(plan.predicted_ms) if plan.predicted_ms else None,
        zones=zones,
        points=points,
        cdf_ms=_cdf_ms(np.sum(counts, axis=0)),
        over_time=series_of([part.played.over_time for part in parts]),
        faults=_felt(parts, each),
        tokens=token_row(runs, over_runs),
    )


def _engine(part: Part) -> str:
    if part.traffic.models:
        return "tokens"
    return "event" if part.played.plan.is_routed or part.traffic.is_eventful else "static"


def _felt(parts: Sequence[Part], each: Sequence[Measured]) -> FaultsFelt | None:
    moves = [
        move for part in parts if part.played.faulted is not None for move in moves_of(part.world, part.played.faulted)
    ]
    if parts[0].played.faulted is None:
        return None
    moves.sort(key=lambda move: (move.at_s, move.app))
    return felt(each, moves)


def _cdf_ms(counts: NDArray[np.int64]) -> tuple[float, ...]:
    return tuple((percentiles_ns(counts, CDF_PERCENTS) / MS_NS).round(4).tolist()) if counts.any() else ()


def _labels(world: World, played: Played) -> list[tuple[str, Stability]]:
    """Each zone's worst label over replications."""
    found = [{one.stability[at] for one in played.measured} for at in range(len(world.zones))]
    return [
        (str(zone.id), next(label for label in WORST_FIRST if label in each))
        for zone, each in zip(world.zones, found, strict=True)
    ]


def _zones(world: World, traffic: Traffic, played: Played) -> tuple[ZoneResult, ...]:
    measured, replicas = played.measured, played.plan.replicas
    joined = np.sum([one.joined for one in measured], axis=0)
    waits = np.sum([one.wait_sum_ns for one in measured], axis=0)
    counted = np.sum([one.wait_counts.sum(axis=1) for one in measured], axis=0)
    use = np.mean([one.utilisation for one in measured], axis=0)
    return tuple(
        ZoneResult(
            zone=zone,
            replicas=int(replicas[at]),
            servers=int(replicas[at]) * traffic.stations.concurrency,
            request_share=float(joined[at] / max(int(joined.sum()), 1)),
            utilisation=float(use[at]),
            wait_ms=_known(_ratio(waits[at], counted[at]) / MS_NS),
            stability=label.value,
        )
        for at, (zone, label) in enumerate(_labels(world, played))
    )


def _points(world: World, traffic: Traffic, played: Played, sums: PointSums) -> tuple[PointResult, ...]:
    losses = np.sum([one.user_lost for one in played.measured], axis=0).reshape(-1, traffic.groups).sum(axis=1)
    felt_there = (sums.served.sum(axis=0), sums.sums_ns.sum(axis=0), losses)
    served, sums_ns, lost = (traffic.places.at_points(one) for one in felt_there)
    return tuple(
        PointResult(
            access_point=user.access_point,
            requests_per_s=user.millirps / 1_000,
            zone=_main_zone(world, played.plan, at),
            mean_ms=_known(_ratio(sums_ns[at], served[at]) / MS_NS),
            why_not=played.view.why_not.get(at, "") or _not_planned(played, at),
            lost_share=_known(_ratio(lost[at], lost[at] + served[at])) or 0.0,
        )
        for at, user in enumerate(world.users)
    )


def _main_zone(world: World, plan: Plan, at: int) -> str:
    if plan.share is None or not plan.share[at].any():
        return ""
    return str(world.zones[int(plan.share[at].argmax())].id)


def _not_planned(played: Played, at: int) -> str:
    if played.plan.share is None or played.plan.share[at].any():
        return ""
    if not played.view.in_time[at].any():
        return "no lawful zone within the bound on round trips"
    return played.plan.message or "no lawful zone has room left"


def _lost(one: Measured) -> int:
    return int((one.failed + one.unlawful + one.unreachable).sum())


def _mean_ns(run: Sequence[Measured]) -> float:
    """The exact mean latency of one replication; NaN where nothing was served."""
    served = sum(int(one.served.sum()) for one in run)
    return sum(int(one.latency_sum_ns.sum()) for one in run) / served if served else float("nan")


def _mean_wait_ns(run: Sequence[Measured]) -> float:
    return _ratio(sum(one.wait_sum_ns.sum() for one in run), sum(one.wait_counts.sum() for one in run))


def _missed(run: Sequence[Measured]) -> float:
    """Share of requests over the bound of their app or not served at all, exactly."""
    lost = sum(_lost(one) for one in run)
    late, served = (sum(int(getattr(one, of).sum()) for one in run) for of in ("late", "served"))
    return _ratio(late + lost, served + lost)


def _ratio(amount: float, count: float) -> float:
    return float(amount) / float(count) if count else float("nan")


def _known(value: float) -> float | None:
    return None if isnan(value) else value
