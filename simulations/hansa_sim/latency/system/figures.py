"""What came of a day, in the one form of results: a row of the policy ``hansa``, engine ``system``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import BUCKETS, buckets_of, percentiles_ns, share_at_most
from hansa_sim.engines.measured import Stability
from hansa_sim.engines.model import SPEED_PERMILLE
from hansa_sim.engines.streams import generator
from hansa_sim.latency.map_ground import map_of
from hansa_sim.latency.own_nodes import zones_elsewhere
from hansa_sim.latency.results import (
    CDF_PERCENTS,
    AppRows,
    Interval,
    PointResult,
    Results,
    Row,
    ZoneResult,
)
from hansa_sim.latency.rows import running
from hansa_sim.latency.rows_of_all import points_of_all, zones_of_all
from hansa_sim.latency.scenario_file import Loaded, as_document
from hansa_sim.latency.system.day import Played, Watch, play_day
from hansa_sim.latency.system.service import UNSTABLE_NS, Sums
from hansa_sim.latency.traffic import Traffic
from hansa_sim.latency.transients import Transients
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World, inhabited_world

POLICY = "hansa"
MS_NS = 1_000_000
DRAWS = 1_024
"""Service times that stand for the distribution."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Felt:
    """What users of one app felt: requests served by access point (U,) and zone (Z,), the sums of their latencies and
    waits in ns, requests lost by access point, and requests by bucket of latency.
    """

    served: Floats
    by_zone: Floats
    most: NDArray[np.int64]
    latency_ns: Floats
    wait_ns: Floats
    lost: Floats
    counts: Floats
    unstable: frozenset[int]


def playable_world(loaded: Loaded) -> World:
    """The world of a scenario whose day can be played; ScenarioError where there is none, an app serves tokens, or a
    zone stands where its control plane would take none.
    """
    world = inhabited_world(loaded)
    for at, app in enumerate(loaded.scenario.apps):
        if app.service.tokens is not None:
            raise loaded.problem(f"apps[{at}].service.tokens", "is not for the system engine, which needs times")
    for key, what in zones_elsewhere(world):
        raise loaded.problem(key, f"{what}, and the system engine plays real ones")
    return world


def run_day(world: World, watch: Watch = lambda done_s, of_s: None) -> Results:
    """Plays a scenario's day with the production code of all its operators."""
    scenario, played = world.loaded.scenario, play_day(world, watch)
    parts = list(zip(world.parts, played.traffic, played.diary.sums, strict=True))
    felt = [_felt(part, traffic, sums) for part, traffic, sums in parts]
    rows = [_row([one], [of], played.duration_s) for one, of in zip(parts, felt, strict=True)]
    whole = rows[0] if len(rows) == 1 else _joined(parts, felt, rows, played.duration_s)
    return Results(
        scenario=as_document(scenario),
        seed=scenario.run.seed,
        simulated_s=played.duration_s,
        base=POLICY,
        rows=(replace(whole, transients=_transients(played, felt)),),
        prices=(),
        map=map_of(world, rows),
        apps=tuple(
            AppRows(app.name, app.latency.response_ms_max, (row,))
            for app, row in zip(scenario.apps if len(rows) > 1 else (), rows, strict=False)
        ),
    )


def _felt(world: World, traffic: Traffic, sums: Sums) -> _Felt:
    """Round trip, mean wait and drawn service of everything that was served."""
    shape = (len(world.users), len(world.zones))
    table, latency_ns, wait_ns = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    counts, rtt_ns = np.zeros(BUCKETS), view_of(world, ViewName.TOGETHER).rtt_ns
    drawn = np.sort(traffic.demand.draw(generator(traffic.seed, "system/service"), DRAWS))
    for (row, column, wait), requests in sorted(sums.served.items()):
        waited = max(wait, 0)
        service_ns = drawn * SPEED_PERMILLE // traffic.speed_permille[column]
        times_ns = service_ns + int(max(rtt_ns[row, column], 0)) + waited
        table[row, column] += requests
        latency_ns[row, column] += requests * float(times_ns.mean())
        wait_ns[row, column] += requests * waited
        counts += np.bincount(buckets_of(times_ns), minlength=BUCKETS) * (requests / DRAWS)
    lost = np.array([sums.lost.get(row, 0.0) for row in range(shape[0])])
    unstable = frozenset(column for _, column, wait in sums.served if wait == UNSTABLE_NS)
    most = np.where(table.any(axis=1), table.argmax(axis=1), -1)
    by_row, by_zone = latency_ns.sum(axis=1), wait_ns.sum(axis=0)
    return _Felt(table.sum(axis=1), table.sum(axis=0), most, by_row, by_zone, lost, counts, unstable)


Part = tuple[World, Traffic, Sums]


def _row(parts: Sequence[Part], felt: Sequence[_Felt], duration_s: float) -> Row:
    """The row of one app, or, without its zones and points, of several."""
    counts = np.rint(np.sum([one.counts for one in felt], axis=0)).astype(np.int64)
    served, lost = (sum(float(getattr(one, of).sum()) for one in felt) for of in ("served", "lost"))
    at_ms = (percentiles_ns(counts, [50, 95, 99, 99.9]) / MS_NS).tolist()
    costs = [
        running(part, _replicas(part, sums, duration_s), traffic.stations.devices) for part, traffic, sums in parts
    ]
    cost, power, carbon = (sum(column) for column in zip(*costs, strict=True))
    missed = sum(_missed(part, one) for (part, _, _), one in zip(parts, felt, strict=True))
    zones = _zones(parts[0], felt[0], duration_s)
    return Row(
        policy=POLICY,
        view=ViewName.TOGETHER.value,
        engine="system",
        requests=round(served + lost),
        mean_ms=_ratio_ms(felt, "latency_ns", served),
        p50_ms=_single(at_ms[0]),
        p95_ms=_single(at_ms[1]),
        p99_ms=_single(at_ms[2]),
        p999_ms=_single(at_ms[3]),
        miss_share=_single((missed + lost) / max(served + lost, 1.0)),
        wait_ms=_ratio_ms(felt, "wait_ns", served),
        unserved_share=lost / max(served + lost, 1.0),
        cost_eur_per_hour=cost,
        power_kw=power,
        carbon_g_per_hour=carbon,
        unstable=tuple(zone.zone for zone in zones if zone.stability == Stability.UNSTABLE.value),
        message="",
        predicted_ms=None,
        zones=zones,
        points=_points(parts[0], felt[0], duration_s),
        cdf_ms=tuple((percentiles_ns(counts, CDF_PERCENTS) / MS_NS).round(4).tolist()) if counts.any() else (),
    )


def _joined(parts: Sequence[Part], felt: Sequence[_Felt], rows: Sequence[Row], duration_s: float) -> Row:
    """All apps together."""
    zones = zones_of_all(rows, [round(float(one.by_zone.sum())) for one in felt])
    points = points_of_all({part.loaded.scenario.app.name: row for (part, _, _), row in zip(parts, rows, strict=True)})
    unstable = tuple(zone.zone for zone in zones if zone.stability == Stability.UNSTABLE.value)
    return replace(_row(parts, felt, duration_s), zones=zones, points=points, unstable=unstable)


def _single(value: float) -> Interval:
    """A figure of one day, which has no interval."""
    return Interval(None if np.isnan(value) else float(value), None)


def _ratio_ms(felt: Iterable[_Felt], of: str, requests: float) -> Interval:
    total_ns = sum(float(getattr(one, of).sum()) for one in felt)
    return _single(total_ns / requests / MS_NS if requests else float("nan"))


def _missed(world: World, felt: _Felt) -> float:
    """Requests that were served over the app's bound."""
    bound_ns, total = round(world.loaded.scenario.app.latency.response_ms_max * MS_NS), float(felt.served.sum())
    counts = np.rint(felt.counts).astype(np.int64)
    return total * (1 - share_at_most(counts, bound_ns)) if counts.any() else 0.0


def _replicas(world: World, sums: Sums, duration_s: float) -> Floats:
    """(Z,): the replicas that ran, in the mean over the day."""
    return np.array([sums.replica_s.get(column, 0.0) / duration_s for column in range(len(world.zones))])


def _zones(part: Part, felt: _Felt, duration_s: float) -> tuple[ZoneResult, ...]:
    world, traffic, sums = part
    replicas = np.rint(_replicas(world, sums, duration_s)).astype(np.int64)
    total = max(float(felt.by_zone.sum()), 1.0)
    found = []
    for column, zone in enumerate(world.zones):
        requests, server_s = float(felt.by_zone[column]), sums.replica_s.get(column, 0.0) * traffic.stations.concurrency
        busy_s = requests * float(traffic.stations.mean_us[column]) / 1e6
        label = Stability.UNSTABLE if column in felt.unstable else Stability.STABLE if requests else Stability.IDLE
        found.append(
            ZoneResult(
                zone=str(zone.id),
                replicas=int(replicas[column]),
                servers=int(replicas[column]) * traffic.stations.concurrency,
                request_share=requests / total,
                utilisation=min(1.0, busy_s / server_s) if server_s else 0.0,
                wait_ms=float(felt.wait_ns[column]) / requests / MS_NS if requests else None,
                stability=label.value,
            )
        )
    return tuple(found)


def _points(part: Part, felt: _Felt, duration_s: float) -> tuple[PointResult, ...]:
    world = part[0]
    why_not = view_of(world, ViewName.TOGETHER).why_not
    return tuple(
        PointResult(
            access_point=user.access_point,
            requests_per_s=user.millirps / 1_000,
            zone=str(world.zones[felt.most[row]].id) if felt.most[row] >= 0 else "",
            mean_ms=float(felt.latency_ns[row] / felt.served[row]) / MS_NS if felt.served[row] else None,
            why_not="" if felt.served[row] else why_not.get(row, "") or "nowhere placed",
        )
        for row, user in enumerate(world.users)
    )


def _transients(played: Played, felt: Sequence[_Felt]) -> Transients:
    diary = played.diary
    ended = [(one.end_us - one.begin_us) / 1e6 for one in diary.outages if one.end_us is not None]
    lost, served = (np.concatenate([getattr(one, of) for one in felt]) for of in ("lost", "served"))
    unserved_s = lost / np.maximum(lost + served, 1e-9) * played.duration_s
    return Transients(
        duration_s=played.duration_s,
        leapt_s=played.leapt_s,
        workloads=len(played.asked),
        unplaced=played.unplaced,
        detect_s=_spread([one / 1e6 for one in diary.detect_us]),
        replace_s=_spread(ended),
        outages=len(diary.outages),
        unavailable_s_mean=float(lost.sum() / max(float((lost + served).sum()), 1e-9)) * played.duration_s,
        unavailable_s_max=float(unserved_s.max(initial=0.0)),
        requests_lost=float(lost.sum()),
        moves=tuple(diary.moves),
        timeline=tuple(diary.happenings),
        broken=played.broken,
        digest=played.digest,
    )


def _spread(values_s: Sequence[float]) -> dict[str, float]:
    """Percentiles by nearest rank; nothing where there is nothing."""
    ordered = sorted(values_s)
    rank: Callable[[int], int] = lambda percent: max(0, -(-percent * len(ordered) // 100) - 1)  # noqa: E731
    return {f"p{percent}": ordered[rank(percent)] for percent in (50, 99, 100)} if ordered else {}
