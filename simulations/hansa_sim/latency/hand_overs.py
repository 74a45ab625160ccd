"""What moving costs: users keep the zone that they looked up last, until they look up again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import NOWHERE, SECOND_NS
from hansa_sim.latency.paired import MS_NS
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.results import Mobility
from hansa_sim.latency.traffic import Traffic, zones_of
from hansa_sim.latency.views import View

HOUR_NS = 3_600 * SECOND_NS


def mobility_of(traffic: Traffic, view: View, plan: Plan, measured: Sequence[Measured]) -> Mobility | None:
    """What was measured of those who move; None where nobody does."""
    if not len(traffic.movement.rates_rps):
        return None
    moving = float(traffic.movement.rates_rps.sum()) / traffic.rate_rps
    if plan.share is None:
        return Mobility(moving, None, 0.0, 0.0, None, None)
    zone_of = zones_of(view, plan, traffic.places)
    served = np.sum([one.user_served for one in measured], axis=0)
    sums_ns = np.sum([one.user_sum_ns for one in measured], axis=0)
    lost = np.sum([one.failed + one.unlawful + one.unreachable for one in measured], axis=0)
    total = max(int(served.sum() + lost.sum()), 1)
    stale = _stale(traffic, zone_of)
    count = int(served[stale].sum())
    return Mobility(
        moving_share=moving,
        hand_overs_per_hour=_hand_overs(traffic, zone_of) * HOUR_NS / traffic.horizon_ns,
        stale_share=count / total,
        lost_share=float(lost[1:].sum()) / total,
        stale_ms=float(sums_ns[stale].sum()) / count / MS_NS if count else None,
        looked_up_ms=_looked_up_ms(traffic, served * stale, (served, sums_ns)),
    )


def _stale(traffic: Traffic, zone_of: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(rows,): whether another zone serves the row than a look-up would give where it is."""
    table = zone_of.reshape(-1, traffic.groups)
    return np.asarray(((table != table[traffic.places.here]) & (table != NOWHERE)).ravel())


def _hand_overs(traffic: Traffic, zone_of: NDArray[np.int32]) -> float:
    """How often the serving zone of a user that moves changes in a replication, in the mean."""
    movement = traffic.movement
    zone = zone_of[movement.row]
    kept = (zone != NOWHERE) & (movement.at_ns < traffic.horizon_ns)
    zone, traveller = zone[kept], movement.traveller[kept]
    changed = (zone[1:] != zone[:-1]) & (traveller[1:] == traveller[:-1])
    rates = movement.rates_rps
    return float(rates[traveller[1:][changed]].sum() / rates.sum())


def _looked_up_ms(
    traffic: Traffic, stale: NDArray[np.int64], felt: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> float | None:
    """The mean latency of requests served as looked up, at access points in the proportions of ``stale`` (rows,)."""
    places, shape = traffic.places, (-1, traffic.groups)
    served, sums_ns = (each.reshape(shape).sum(axis=1)[: places.points] for each in felt)
    weights = places.at_points(stale.reshape(shape).sum(axis=1)) * (served > 0)
    if not weights.any():
        return None
    means_ms = np.divide(sums_ns / MS_NS, served, out=np.zeros(places.points), where=served > 0)
    return float((means_ms * weights).sum() / weights.sum())
