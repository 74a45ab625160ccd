"""Small worlds for the engines' tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import (
    ANY_WAIT,
    SECOND_NS,
    Block,
    Faults,
    Outages,
    Paths,
    Profile,
    Retries,
    UserClass,
    Window,
    Zones,
)
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded, Router, Table
from hansa_sim.engines.service import Demand, Exponential, Lognormal

MS = 1_000_000


def one_station(rate_rps: float, demand: Demand, servers: int, horizon_s: int) -> tuple[Run, list[UserClass]]:
    """One class of one row of users, no distance away from one zone."""
    classes = [UserClass("all", np.zeros(1, np.int32), rate_rps, demand)]
    way = np.zeros((1, 1), np.int64)
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([servers]), Window(horizon_s * SECOND_NS))
    return run, classes


def sent(run: Run, classes: list[UserClass], seed: int = 1) -> Iterator[Block]:
    """The requests of a run's whole window."""
    return blocks(classes, seed, run.window.end_ns)


def by_hand(at_ns: list[int], user: list[int], demand_ns: list[int]) -> list[Block]:
    """One block of given requests."""
    return [Block(np.array(at_ns, np.int64), np.array(user, np.int32), np.array(demand_ns, np.int64))]


@dataclasses.dataclass(frozen=True)
class World:
    """A run, its classes, and for every router and kind of fault one to try."""

    run: Run
    classes: list[UserClass]
    routers: dict[str, Router]
    faults: Faults
    coarse_ns: int

    def blocks(self, seed: int = 1, portion: int | None = None) -> list[Block]:
        """The requests, as they are drawn or in blocks of ``portion``; sent at multiples of ``coarse_ns``."""
        whole = [
            Block(one.at_ns // self.coarse_ns * self.coarse_ns, one.user, one.demand_ns)
            for one in blocks(self.classes, seed, self.run.window.end_ns)
        ]
        if portion is None:
            return whole
        columns = [np.concatenate([getattr(one, name) for one in whole]) for name in ("at_ns", "user", "demand_ns")]
        return [
            Block(*(column[first : first + portion] for column in columns))
            for first in range(0, len(columns[0]), portion)
        ]


def drawn_world(seed: int, horizon_s: int = 4) -> World:
    """A world drawn from a seed: zones of one to four servers at several speeds, some that turn away, some ways that
    law forbids or that do not exist, two classes of users, times coarse enough for many ties."""
    rng = np.random.default_rng(seed)
    users, zones = int(rng.integers(3, 30)), int(rng.integers(1, 8))
    coarse = int(rng.choice([1, MS, 10 * MS]))
    there = rng.integers(0, 40 * MS, (users, zones)) // coarse * coarse
    back = rng.integers(0, 40 * MS, (users, zones)) // coarse * coarse
    there[rng.random((users, zones)) < 0.1] = -1
    paths = Paths(there, back, rng.random((users, zones)) < 0.8)
    station = Zones.of(
        rng.integers(1, 5, zones),
        rng.choice([500, 1000, 1700], zones),
        np.where(rng.random(zones) < 0.3, rng.integers(0, 50 * MS, zones), ANY_WAIT),
    )
    middle = users // 2
    classes = [
        UserClass("even", np.arange(middle, dtype=np.int32), 40.0 * zones, Exponential(20.0 * MS)),
        UserClass(
            "uneven",
            np.arange(middle, users, dtype=np.int32),
            30.0 * zones,
            Lognormal(15.0 * MS, 3.0),
            weights=rng.random(users - middle) + 0.01,
            profile=Profile(SECOND_NS, np.array([300, 1000])),
        ),
    ]
    run = Run.of(classes, paths, station, Window(horizon_s * SECOND_NS, int(rng.integers(0, 2)) * SECOND_NS))
    run = dataclasses.replace(run, bound_ns=3 * MS)
    count = int(rng.integers(1, 5))
    down = rng.integers(0, horizon_s * SECOND_NS, count)
    outages = Outages(rng.integers(0, zones, count).astype(np.int32), down, down + rng.integers(1, SECOND_NS, count))
    retries = Retries(int(rng.integers(1, 4)), int(rng.integers(0, 2)) * MS, int(rng.integers(0, 200 * MS)))
    mean_ns = np.where(np.arange(users) < middle, 20 * MS, 15 * MS)
    stale_ns = int(rng.choice([0, 100 * MS, SECOND_NS]))
    routers: dict[str, Router] = {
        "table": Table(nearest(paths, 2)),
        "latency": LeastLatency(mean_ns, stale_ns),
        "load": LeastLoaded(stale_ns),
    }
    return World(run, classes, routers, Faults(outages, retries), coarse)


def nearest(paths: Paths, choices: int = 1) -> np.ndarray:
    """(U, choices) the nearest zones that are open to each row, -1 where there are no more."""
    far = np.where(paths.open, paths.there_ns + paths.back_ns, np.iinfo(np.int64).max)
    order = np.argsort(far, axis=1, kind="stable")
    order[~np.take_along_axis(paths.open, order, axis=1)] = -1
    padded = np.full((len(order), max(choices, order.shape[1])), -1)
    padded[:, : order.shape[1]] = order
    return padded[:, :choices].astype(np.int32)


def differences(one: Measured, other: Measured) -> list[str]:
    """Names of the fields in which two results differ by a bit."""
    return [
        each.name
        for each in dataclasses.fields(Measured)
        if not _is_same(getattr(one, each.name), getattr(other, each.name))
    ]


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return one == other


Serving = Callable[[], Measured]
