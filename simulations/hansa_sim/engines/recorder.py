"""Counts visits and requests into arrays while a run goes on; an engine hands them over in any order, in any portions.

``Visits`` are of requests in zones, one for each time that a zone took one in. Everything here is a sum, a maximum or a
count of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import BUCKETS, buckets_of
from hansa_sim.engines.measured import BACKLOG_STEPS, Measured
from hansa_sim.engines.model import NEVER_DOWN, Flags, Indices, Ints, Outages, Paths, UserClass, Window, Zones

SERIES_MAX = 8192
"""Batches of the series at most; when it is full, neighbours are joined."""

MSER_BATCH = 5
"""The series begins with batches of five, as MSER-5 wants them."""

SQUARE_BITS = 21
"""Squares are summed of halves of that many bits, so that no sum overflows."""


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """N visits: the request's number, row of users, zone; when it was sent, reached the zone, would be (or was) served,
    and left; how long until its user had the answer, -1 where the zone went down under it."""

    number: Ints
    user: Indices
    zone: Indices
    at_ns: Ints
    reach_ns: Ints
    start_ns: Ints
    leave_ns: Ints
    latency_ns: Ints
    service_ns: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a run is about, as the recorder needs it; ``class_of`` (U,) int32 is the class of each row."""

    paths: Paths
    zones: Zones
    class_of: Indices
    window: Window

    @classmethod
    def of(cls, classes: Sequence[UserClass], paths: Paths, zones: Zones, window: Window) -> Run:
        """Raises ValueError where a row of users belongs to two classes, to none, or is not among the paths'."""
        class_of = np.full(len(paths.there_ns), -1, dtype=np.int32)
        for index, one in enumerate(classes):
            if (one.users < 0).any() or (one.users >= len(class_of)).any():
                raise ValueError(f"class {one.name!r} has rows of users that the paths do not have")
            if (class_of[one.users] >= 0).any():
                raise ValueError(f"class {one.name!r} shares rows of users with another")
            class_of[one.users] = index
        if zones.count != paths.there_ns.shape[1]:
            raise ValueError(f"zones are {zones.count}, the paths lead to {paths.there_ns.shape[1]}")
        return cls(paths, zones, class_of, window)

    @property
    def class_count(self) -> int:
        return int(self.class_of.max()) + 1


@dataclass(slots=True, eq=False)
class Recorder:
    """The counts of one run; ``measured`` makes a result of them."""

    run: Run
    outages: Outages = NEVER_DOWN
    latency_counts: Ints = field(init=False)
    classes: Ints = field(init=False)
    """(C, 7): latency sum, max, three halves of squares' sums, spare, failed."""
    users: Ints = field(init=False)
    """(U, 2): served, latency sum."""
    lost: Ints = field(init=False)
    """(C, 3): failed, unlawful, unreachable."""
    wait_counts: Ints = field(init=False)
    per_zone: Ints = field(init=False)
    """(Z, 8): wait sum, joined, turned away, sojourn sum, sojourn max, area, busy, offered."""
    flow: Ints = field(init=False)
    """(Z, K): joined less left, by step of time."""
    step_bits: int = field(init=False)
    series: Ints = field(init=False)
    """(S, 2): latency sum, served."""
    series_bits: int = 0
    """A batch of the series is MSER_BATCH << series_bits requests."""

    def __post_init__(self) -> None:
        count, zones = self.run.class_count, self.run.zones.count
        self.latency_counts = np.zeros((count, BUCKETS), np.int64)
        self.classes = np.zeros((count, 5), np.int64)
        self.users = np.zeros((len(self.run.class_of), 2), np.int64)
        self.lost = np.zeros((count, 3), np.int64)
        self.wait_counts = np.zeros((zones, BUCKETS), np.int64)
        self.per_zone = np.zeros((zones, 8), np.int64)
        self.step_bits = max(0, (self.run.window.length_ns // BACKLOG_STEPS).bit_length())
        self.flow = np.zeros((zones, (self.run.window.length_ns >> self.step_bits) + 2), np.int64)
        self.series = np.zeros((SERIES_MAX, 2), np.int64)

    def make_room(self, number: int) -> None:
        """Joins neighbours of the series until the request of that number has a batch."""
        while number // MSER_BATCH >> self.series_bits >= SERIES_MAX:
            self.series[: SERIES_MAX // 2] = self.series[0::2] + self.series[1::2]
            self.series[SERIES_MAX // 2 :] = 0
            self.series_bits += 1

    def lose(self, user: Indices, at_ns: Ints, outcome: int) -> None:
        """Requests that got nowhere: ``outcome`` is 0 failed, 1 unlawful, 2 unreachable."""
        inside = (at_ns >= self.run.window.begin_ns) & (at_ns < self.run.window.end_ns)
        np.add.at(self.lost[:, outcome], self.run.class_of[user[inside]], 1)

    def turn_away(self, zone: Indices, reach_ns: Ints) -> None:
        """Requests that came to a zone and were not taken in."""
        inside = (reach_ns >= self.run.window.begin_ns) & (reach_ns < self.run.window.end_ns)
        np.add.at(self.per_zone[:, 2], zone[inside], 1)

    def record(self, visits: Visits) -> None:
        """Counts visits, and latencies of those that were served."""
        if not len(visits.number):
            return
        self.make_room(int(visits.number.max()))
        self._record_zones(visits)
        self._record_waits(visits)
        served = visits.latency_ns >= 0
        self._record_latency(visits, served)
        sent = served & (visits.at_ns >= self.run.window.begin_ns) & (visits.at_ns < self.run.window.end_ns)
        self._record_served(visits, sent)

    def _record_latency(self, visits: Visits, served: Flags) -> None:
        batch = visits.number[served] // MSER_BATCH >> self.series_bits
        np.add.at(self.series[:, 0], batch, visits.latency_ns[served])
        np.add.at(self.series[:, 1], batch, 1)

    def _record_served(self, visits: Visits, sent: Flags) -> None:
        user, latency_ns = visits.user[sent], visits.latency_ns[sent]
        of = self.run.class_of[user].astype(np.int64)
        counted = np.bincount(of * BUCKETS + buckets_of(latency_ns), minlength=self.latency_counts.size)
        self.latency_counts += counted.reshape(self.latency_counts.shape)
        high, low = latency_ns >> SQUARE_BITS, latency_ns & ((1 << SQUARE_BITS) - 1)
        for column, amount in ((0, latency_ns), (2, high * high), (3, high * low), (4, low * low)):
            np.add.at(self.classes[:, column], of, amount)
        np.maximum.at(self.classes[:, 1], of, latency_ns)
        np.add.at(self.users[:, 0], user, 1)
        np.add.at(self.users[:, 1], user, latency_ns)

    def _record_waits(self, visits: Visits) -> None:
        window = self.run.window
        inside = (visits.reach_ns >= window.begin_ns) & (visits.reach_ns < window.end_ns)
        waited = inside & ((visits.start_ns < visits.leave_ns) | (visits.latency_ns >= 0))
        zone, wait_ns = visits.zone[waited].astype(np.int64), (visits.start_ns - visits.reach_ns)[waited]
        counted = np.bincount(zone * BUCKETS + buckets_of(wait_ns), minlength=self.wait_counts.size)
        self.wait_counts += counted.reshape(self.wait_counts.shape)
        np.add.at(self.per_zone[:, 0], zone, wait_ns)
        zone, stay_ns = visits.zone[inside].astype(np.int64), (visits.leave_ns - visits.reach_ns)[inside]
        np.add.at(self.per_zone[:, 1], zone, 1)
        np.add.at(self.per_zone[:, 3], zone, stay_ns)
        np.add.at(self.per_zone[:, 7], zone, visits.service_ns[inside])

    def _record_zones(self, visits: Visits) -> None:
        begin_ns, end_ns = self.run.window.begin_ns, self.run.window.end_ns
        leave = np.minimum(visits.leave_ns, end_ns)
        area = np.maximum(leave - np.maximum(visits.reach_ns, begin_ns), 0)
        busy = np.maximum(leave - np.maximum(visits.start_ns, begin_ns), 0)
        np.add.at(self.per_zone[:, 5], visits.zone, area)
        np.add.at(self.per_zone[:, 6], visits.zone, busy)
        np.maximum.at(self.per_zone[:, 4], visits.zone, visits.leave_ns - visits.reach_ns)
        for moment_ns, sign in ((visits.reach_ns, 1), (visits.leave_ns, -1)):
            step = self._step(moment_ns)
            np.add.at(self.flow, (visits.zone, step), sign)

    def _step(self, moment_ns: Ints) -> NDArray[np.int64]:
        """Which step's beginning is the first that is not before the moment; the last stands for the window's end."""
        since_ns = np.maximum(moment_ns - self.run.window.begin_ns, 0)
        steps = (since_ns + (1 << self.step_bits) - 1) >> self.step_bits
        late = moment_ns > self.run.window.end_ns
        return np.asarray(np.where(late, self.flow.shape[1] - 1, np.minimum(steps, self.flow.shape[1] - 2)))

    def measured(self) -> Measured:
        """The result. Raises ImpossibleResult where it cannot be true."""
        window, zone, batches = self.run.window, self.per_zone, self.series[:, 1].nonzero()[0]
        until = int(batches[-1]) + 1 if len(batches) else 0
        halves = self.classes[:, 2:5].astype(np.float64) @ np.array(
            [2.0 ** (2 * SQUARE_BITS), 2.0 ** (SQUARE_BITS + 1), 1.0]
        )
        result = Measured(
            window=window,
            servers=self.run.zones.servers,
            latency_counts=self.latency_counts,
            latency_sum_ns=self.classes[:, 0],
            latency_max_ns=self.classes[:, 1],
            latency_squares=halves,
            user_served=self.users[:, 0],
            user_sum_ns=self.users[:, 1],
            failed=self.lost[:, 0],
            unlawful=self.lost[:, 1],
            unreachable=self.lost[:, 2],
            wait_counts=self.wait_counts,
            wait_sum_ns=zone[:, 0],
            joined=zone[:, 1],
            turned_away=zone[:, 2],
            sojourn_sum_ns=zone[:, 3],
            sojourn_max_ns=zone[:, 4],
            area_ns=zone[:, 5],
            busy_ns=zone[:, 6],
            offered_ns=zone[:, 7],
            up_ns=self._up_ns(),
            backlog=np.cumsum(self.flow, axis=1)[:, :-1],
            backlog_step_ns=1 << self.step_bits,
            series_sum_ns=self.series[:until, 0],
            series_served=self.series[:until, 1],
            series_size=MSER_BATCH << self.series_bits,
        )
        result.check()
        return result

    def _up_ns(self) -> Ints:
        begin_ns, end_ns = self.run.window.begin_ns, self.run.window.end_ns
        up_ns = np.full(self.run.zones.count, self.run.window.length_ns, np.int64)
        for zone in np.unique(self.outages.zone).tolist():
            for down, up in self.outages.of_zone(zone):
                up_ns[zone] -= max(0, min(up, end_ns) - max(down, begin_ns))
        return up_ns
