"""What users felt over time, and what faults did to a row of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import percentiles_ns
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS
from hansa_sim.latency.fault_course import Faulted
from hansa_sim.latency.over_time import OverTime
from hansa_sim.latency.paired import MS_NS
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.results import Event, FaultsFelt, Move, Series
from hansa_sim.latency.world import World

LEAST_SHARE = 1e-9


def series_of(parts: Sequence[OverTime]) -> Series | None:
    """What all apps felt together over time; None where that was not counted."""
    wholes = [part.whole for part in parts if part.whole is not None]
    if not wholes:
        return None
    latency, lost = np.sum([one.latency for one in wholes], axis=0), np.sum([one.lost for one in wholes], axis=0)
    found = [percentiles_ns(counts, [50, 99]) / MS_NS for counts in latency]
    p50_ms, p99_ms = (
        tuple(float(one) if isfinite(one) else None for one in column) for column in zip(*found, strict=True)
    )
    served = latency.sum(axis=1)
    return Series(wholes[0].bin_ns / SECOND_NS, tuple((served + lost).tolist()), tuple(lost.tolist()), p50_ms, p99_ms)


def felt(measured: Sequence[Measured], moves: Sequence[Move]) -> FaultsFelt:
    """What faults did to the apps of a row."""
    total, missed = np.sum([one.in_spells for one in measured], axis=0).tolist()
    lost, retried, cut, struck = (
        int(sum(getattr(one, name).sum() for one in measured)) for name in ("user_lost", "retried", "cut", "struck")
    )
    return FaultsFelt(lost, retried, cut, struck, missed / total if total else None, tuple(moves))


def mean_replicas(plan: Plan, faulted: Faulted | None) -> NDArray[np.float64]:
    """(Z,) replicas that run, in the mean over the first replication where plans change in it."""
    if faulted is None:
        return plan.replicas.astype(np.float64)
    stages, horizon_ns = faulted.stages(0), faulted.traffic.horizon_ns
    ends = [*(stage.at_ns for stage in stages[1:]), horizon_ns]
    times = [max(0, min(end_ns, horizon_ns) - stage.at_ns) for stage, end_ns in zip(stages, ends, strict=True)]
    whole = sum(ns * stage.plans[faulted.app].replicas for ns, stage in zip(times, stages, strict=True))
    return np.asarray(whole / horizon_ns, dtype=np.float64)


def moves_of(world: World, faulted: Faulted) -> Iterator[Move]:
    """The moves of an app in the first replication."""
    demand = np.array([user.millirps for user in world.users], dtype=np.float64)
    stages = faulted.stages(0)
    for former, then in pairwise(stages):
        one, other = former.plans[faulted.app], then.plans[faulted.app]
        if one is not other and then.at_ns < faulted.traffic.horizon_ns:
            yield _move(world, then.at_ns, demand / max(demand.sum(), 1), (one, other))


def _move(world: World, at_ns: int, demand: NDArray[np.float64], plans: tuple[Plan, Plan]) -> Move:
    former, then = plans
    change = (then.replicas - former.replicas).tolist()
    replicas = {str(zone.id): count for zone, count in zip(world.zones, change, strict=True) if count}
    moved = unserved = 0.0
    if former.share is not None and then.share is not None:
        moved = float((np.maximum(then.share - former.share, 0).sum(axis=1) * demand).sum())
        unserved = float(demand[then.share.sum(axis=1) < LEAST_SHARE].sum())
    return Move(at_ns / SECOND_NS, world.loaded.scenario.app.name, replicas, round(moved, 6), round(unserved, 6))


def events_of(faulted: Faulted) -> tuple[Event, ...]:
    """What happens in the first replication, in the order of time."""
    found = []
    for spell in faulted.course.spells(faulted.traffic, 0, faulted.view):
        begin_ns = spell.fault.begin_ns
        known = "notice" if spell.known_ns < begin_ns else "known"
        times = (("begins", begin_ns), (known, spell.known_ns), ("ends", spell.fault.end_ns), ("over", spell.over_ns))
        found += [Event(at_ns / SECOND_NS, what, spell.fault.title) for what, at_ns in times]
    horizon_s = faulted.traffic.horizon_ns / SECOND_NS
    return tuple(sorted((one for one in found if one.at_s < horizon_s), key=lambda one: (one.at_s, one.title)))
