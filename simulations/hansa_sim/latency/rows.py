"""What the engines measured of a policy, as a row of the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import percentiles_ns, share_at_most
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.latency.paired import MS_NS, PointSums, sums_of
from hansa_sim.latency.policies import Plan, carbon_of, watts_of
from hansa_sim.latency.results import CDF_PERCENTS, Interval, PointResult, Row, ZoneResult
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.traffic import Traffic
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World

WORST_FIRST = (Stability.UNSTABLE, Stability.STABLE, Stability.IDLE)


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A policy in a view with its plan, and what was measured of it, a result for each replication."""

    policy: PolicyName
    view: View
    plan: Plan
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Ran(PointSums):
    """A row, with what pairs it to others."""

    row: Row


def ran(world: World, traffic: Traffic, played: Played) -> Ran:
    """The row of what was played."""
    sums = sums_of(played.measured, traffic.groups)
    points = _points(world, played, sums.served.sum(axis=0), sums.sums_ns.sum(axis=0))
    return Ran(sums.served, sums.sums_ns, _row(world, traffic, played, points))


def running(world: World, plan: Plan, devices: int) -> tuple[float, float, float]:
    """What a plan's replicas cost in EUR an hour, draw in kW under load, and emit in g CO2 equivalent an hour."""
    count = plan.replicas * devices
    price = np.array([zone.inventory.price_millieur_per_hour for zone in world.zones])
    kw = count * np.array([watts_of(zone) for zone in world.zones]) / 1_000
    grams = kw * np.array([carbon_of(zone) for zone in world.zones])
    return float((count * price).sum()) / 1_000, float(kw.sum()), float(grams.sum())


def _row(world: World, traffic: Traffic, played: Played, points: tuple[PointResult, ...]) -> Row:
    scenario, measured, plan = world.loaded.scenario, played.measured, played.plan

    def over_runs(values: Sequence[float]) -> Interval:
        return Interval.of(values, scenario.run.confidence_percent)

    bound_ns = round(scenario.app.latency.response_ms_max * MS_NS)
    percentiles = np.array([one.latency_percentiles_ns([50, 95, 99, 99.9]) for one in measured]) / MS_NS
    counts = np.sum([one.latency_counts.sum(axis=0) for one in measured], axis=0)
    lost = sum(_lost(one) for one in measured)
    total = sum(int(one.served.sum()) for one in measured) + lost
    cost, power, carbon = running(world, plan, traffic.stations.devices)
    return Row(
        policy=played.policy.value,
        view=played.view.name.value,
        engine="event" if plan.is_routed else "static",
        requests=total,
        mean_ms=over_runs([one.mean_latency_ns() / MS_NS for one in measured]),
        p50_ms=over_runs(percentiles[:, 0].tolist()),
        p95_ms=over_runs(percentiles[:, 1].tolist()),
        p99_ms=over_runs(percentiles[:, 2].tolist()),
        p999_ms=over_runs(percentiles[:, 3].tolist()),
        miss_share=over_runs([_missed(one, bound_ns) for one in measured]),
        wait_ms=over_runs([_ratio(one.wait_sum_ns.sum(), one.wait_counts.sum()) / MS_NS for one in measured]),
        unserved_share=_ratio(lost, total),
        cost_eur_per_hour=cost,
        power_kw=power,
        carbon_g_per_hour=carbon,
        unstable=tuple(zone for zone, label in _labels(world, played) if label is Stability.UNSTABLE),
        message=plan.message,
        predicted_ms=dict(plan.predicted_ms) if plan.predicted_ms else None,
        zones=_zones(world, traffic, played),
        points=points,
        cdf_ms=tuple((percentiles_ns(counts, CDF_PERCENTS) / MS_NS).round(4).tolist()) if counts.any() else (),
    )


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


def _points(
    world: World, played: Played, served: NDArray[np.int64], sums_ns: NDArray[np.int64]
) -> tuple[PointResult, ...]:
    return tuple(
        PointResult(
            access_point=user.access_point,
            requests_per_s=user.millirps / 1_000,
            zone=_main_zone(world, played.plan, at),
            mean_ms=_known(_ratio(sums_ns[at], served[at]) / MS_NS),
            why_not=played.view.why_not.get(at, "") or _not_planned(played, at),
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
    return played.plan.message or "not planned"


def _lost(one: Measured) -> int:
    return int((one.failed + one.unlawful + one.unreachable).sum())


def _missed(one: Measured, bound_ns: int) -> float:
    """Share of requests over the bound or not served at all."""
    served, lost = int(one.served.sum()), _lost(one)
    in_time = share_at_most(one.latency_counts.sum(axis=0), bound_ns) * served if served else 0.0
    return _ratio(served - in_time + lost, served + lost)


def _ratio(amount: float, count: float) -> float:
    return float(amount) / float(count) if count else float("nan")


def _known(value: float) -> float | None:
    return None if isnan(value) else value
