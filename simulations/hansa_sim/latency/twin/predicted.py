"""What a twin's users ask for, drawn in advance, and what the static engine says that they will feel.

The same requests, with the same demands at the same times, are sent in the twin: so the difference of the two is what
the simulation leaves out, and not chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines import static
from hansa_sim.engines.arrivals import blocks, expected_requests
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import NOWHERE, SECOND_NS, Block, Paths, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.traffic import Traffic, grouped, traffic_of
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World

PERCENTS = (50.0, 95.0, 99.0)
REQUESTS_MAX = 50_000
RATE_RPS_MAX = 1_000.0
MS_NS = 1_000_000

Percentiles = tuple[float, ...]
"""At ``PERCENTS``, ms."""


class TooMany(ValueError):
    """More requests than one machine can send and serve at their times."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Requests of a twin. blocks are in the order of time; zone_of (rows of users,) is the zone of each group of users;
    window is what is measured.
    """

    traffic: Traffic
    classes: tuple[UserClass, ...]
    blocks: tuple[Block, ...]
    zone_of: NDArray[np.int32]
    window: Window


@dataclass(frozen=True, slots=True)
class Request:
    """One request of an access point: when it is sent, what it demands of the fastest zone, and its zone's number."""

    at_ns: int
    demand_ns: int
    zone: int


def asked_of(world: World, plan: Plan, seconds: float) -> Asked:
    """The requests of so many seconds, each access point's from streams of its own; TooMany."""
    traffic = traffic_of(world)
    if plan.share is None:
        raise ValueError("a router decides on what only it knows; a twin needs shares")
    zone_of = grouped(plan.share, traffic.groups)
    served = np.flatnonzero(plan.share.any(axis=1)).tolist()
    classes = tuple(_class_of(world, traffic, row) for row in served)
    rate_rps = sum(one.rate_rps for one in classes)
    horizon_ns = round(seconds * SECOND_NS)
    count = expected_requests(classes, horizon_ns) if classes else 0
    if rate_rps > RATE_RPS_MAX or count > REQUESTS_MAX:
        most = f"{RATE_RPS_MAX:g} requests a second and {REQUESTS_MAX} in all at most"
        raise TooMany(
            f"{rate_rps:g} requests a second for {seconds:g} s: a twin sends {most}; take a part, or less time"
        )
    warm_up_ns = horizon_ns * world.loaded.scenario.run.warm_up_percent // 100
    drawn = tuple(blocks(classes, traffic.seed, horizon_ns)) if classes else ()
    return Asked(traffic, classes, drawn, zone_of, Window(horizon_ns, warm_up_ns))


def _class_of(world: World, traffic: Traffic, row: int) -> UserClass:
    user, whole = world.users[row], traffic.classes[0]
    rows = np.arange(row * traffic.groups, (row + 1) * traffic.groups, dtype=np.int32)
    rate_rps = user.millirps / 1_000
    return UserClass(f"twin/{user.access_point}", rows, rate_rps, whole.demand, profile=whole.profile)


def predict(view: View, plan: Plan, asked: Asked) -> Measured:
    """What the static engine measures of these requests; classes are the access points that are served."""
    stations = asked.traffic.stations
    zones = Zones.of(np.maximum(plan.replicas * stations.concurrency, 1), asked.traffic.speed_permille)
    there_ns, back_ns = (np.repeat(way, asked.traffic.groups, axis=0) for way in (view.there_ns, view.back_ns))
    usable = np.repeat(view.lawful & (plan.replicas > 0), asked.traffic.groups, axis=0)
    run = Run.of(asked.classes, Paths(there_ns, back_ns, usable), zones, asked.window)
    return static.serve(asked.blocks, asked.zone_of, run)


def predicted_of(measured: Measured, at: int) -> Percentiles:
    """What the users of one class will feel."""
    return tuple((measured.latency_percentiles_ns(list(PERCENTS), at) / MS_NS).tolist())


def requests_of(asked: Asked, at: int) -> list[Request]:
    """The requests of one class, in the order of time."""
    rows, found = asked.classes[at].users, []
    for block in asked.blocks:
        mine = (block.user >= rows[0]) & (block.user <= rows[-1])
        zones = asked.zone_of[block.user[mine]]
        columns = (block.at_ns[mine].tolist(), block.demand_ns[mine].tolist(), zones.tolist())
        found += [Request(*one) for one in zip(*columns, strict=True) if one[2] != NOWHERE]
    return found


def measured_of(latency_ns: Sequence[int], sent_ns: Sequence[int], window: Window) -> Percentiles:
    """Percentiles by nearest rank of the requests that were sent within the window and answered; NaN without any."""
    inside = [late for late, at in zip(latency_ns, sent_ns, strict=True) if window.begin_ns <= at < window.end_ns]
    kept = sorted(late for late in inside if late >= 0)
    if not kept:
        return tuple(float("nan") for _ in PERCENTS)
    return tuple(kept[max(ceil(len(kept) * percent / 100), 1) - 1] / MS_NS for percent in PERCENTS)
