"""``hansa optimize``, end to end: 200 workloads on 200 zones judged, packed, ordered and described.

Workloads stand where a seeded hand has put them, so that about half of them would move. Times are of CPU, because the
machine is shared. The gain is in points of score, its floor what a single pass of construction by regret gains.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from hansa_control.domain.capacity import amount_for, subtract
from hansa_control.domain.fleet import Bench, Fleet, problem_of
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    Capacity,
    LatencyBudget,
    ResidencyPolicy,
    SiteRule,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from hansa_control.domain.optimization import Effort, Holding, Member
from hansa_control.domain.optimizing import Report, pack

from tools.bench._synthetic import ARTEFACT, COUNTRIES, NOW_MS, build_world

COUNT = 200
TARGET_S = 2.0
TRIES = 200
LAW = ResidencyPolicy(site=SiteRule(frozenset(COUNTRIES)))


def rows() -> list[dict[str, object]]:
    """Seconds of each part and of the whole, warm, and what is gained."""
    fleet = build_fleet(COUNT)
    _run(fleet, Effort(work_max=1))
    hasty = _run(fleet, Effort(work_max=1))
    taken = _run(fleet, Effort())
    parts = [_row(f"optimize.200x200.{name}", taken[name], "s", None) for name in ("judge", "pack", "describe")]
    whole = _row("optimize.200x200", sum(taken[name] for name in ("judge", "pack", "describe")), "s", TARGET_S)
    gain = {**_row("optimize.200x200.gain", taken["gain"], "points", None), "floor": hasty["gain"]}
    gain["ratio"] = taken["gain"] / hasty["gain"] if hasty["gain"] else None
    return [*parts, whole, _row("optimize.200x200.moves", taken["moves"], "moves", None), gain]


def build_fleet(count: int) -> Fleet:
    """So many workloads, each in a zone of as many that had room for it."""
    stream = np.random.default_rng(1)
    world = build_world(count)
    zones = {at.id: at for at in world.zones}
    free = {at.id: at.free for at in world.zones}
    members = []
    for n in range(count):
        spec = _spec(stream, count)
        found = next((at for _ in range(TRIES) if (at := _place(stream, spec, zones, free))), None)
        members.append(Member(f"workload-{n:03d}", spec, spec, found))
    left = [replace(at, free=free[at.id]) for at in world.zones]
    return Fleet(tuple(members), world.with_zones(2, left, NOW_MS), "op0", NOW_MS)


def _place(
    stream: np.random.Generator, spec: WorkloadSpec, zones: dict[ZoneId, Zone], free: dict[ZoneId, Capacity]
) -> Holding | None:
    zone = list(zones.values())[int(stream.integers(len(zones)))]
    pool = zone.inventory.pools[0]
    if spec.accelerator is not None and pool.memory_mib < spec.accelerator.memory_mib_min:
        return None
    key = pool.key if spec.accelerator is not None else ""
    try:
        free[zone.id] = subtract(free[zone.id], amount_for(spec, key))
    except ValueError:
        return None
    return Holding(zone.id, spec.replicas, key)


def _spec(stream: np.random.Generator, count: int) -> WorkloadSpec:
    nodes = sorted({int(at) for at in stream.integers(0, count * 10, 3)})
    return WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=AcceleratorNeed((), 1, 24_000) if stream.random() < 0.6 else None,
        cpu_millis=int(stream.integers(1, 9)) * 500,
        memory_mib=4_096,
        replicas=int(stream.integers(1, 3)),
        access=tuple(AccessDemand(f"n{at:05d}", int(stream.integers(500, 4_000))) for at in nodes),
        latency=LatencyBudget(95, 60_000),
        residency=LAW,
    )


def _run(fleet: Fleet, effort: Effort) -> dict[str, float]:
    began = time.process_time()
    bench = Bench(fleet)
    judged = [bench.judge(member) for member in fleet.members]
    problem = problem_of(bench, judged)
    judged_at = time.process_time()
    packing = pack(problem, effort)
    packed_at = time.process_time()
    report = Report(bench, judged, problem, packing)
    for step in report.order.steps:
        report.add(step)
    plan = report.plan(())
    ended = time.process_time()
    return {
        "judge": judged_at - began,
        "pack": packed_at - judged_at,
        "describe": ended - packed_at,
        "moves": float(len(plan.moves)),
        "gain": plan.gain,
    }


def _row(name: str, value: float, unit: str, target: float | None) -> dict[str, object]:
    met = None if target is None else value <= target
    return {"name": name, "value": value, "unit": unit, "floor": None, "ratio": None, "target": target, "met": met}


if __name__ == "__main__":
    for row in rows():
        print(row)
