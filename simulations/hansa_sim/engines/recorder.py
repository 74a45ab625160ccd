"""Counts visits and requests into arrays while a run goes on; an engine hands them over in any order, in any portions.

Everything here is a sum, a maximum or a
count of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.changes import peak_servers, up_ns
from hansa_sim.engines.histogram import BUCKETS, buckets_of
from hansa_sim.engines.losses import CUT, GAVE_UP, OUTCOMES, RETRIED, STRUCK, UNLAWFUL, UNREACHABLE
from hansa_sim.engines.measured import BACKLOG_STEPS, Measured
from hansa_sim.engines.model import (
    AHEAD_NS_MAX,
    NEVER_DOWN,
    Flags,
    Indices,
    Ints,
    Outages,
    Paths,
    UserClass,
    Window,
    Zones,
)
from hansa_sim.engines.record_kernel import MSER_BATCH, SQUARE_BITS, SQUARE_LOW, Counts, Scale, Visits, record
from hansa_sim.engines.timeline import Spells, Timeline

Rows = Indices | Ints

SERIES_MAX = 8192
"""Batches of the series at most; when it is full, neighbours are joined."""

NARROW_MAX = 1 << 27
"""So many requests cannot overflow 32 bits, however often they are sent again. Waits are counted in as many: zones'
counts then take half of the second cache, which is half of what recording costs."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a run is about, as the recorder needs it; ``class_of`` (U,) int32 is the class of each row, -1 of rows that
    are in none and ask for nothing."""

    paths: Paths
    zones: Zones
    class_of: Indices
    window: Window
    bin_ns: int = 0
    """Latencies are also counted over time, in bins of that length; 0 does not."""
    bound_ns: int = AHEAD_NS_MAX
    """Latencies above it are counted as late."""
    spells: Spells | None = None
    """What is sent in these stretches of the window, and what of it is late or lost, is counted besides."""

    @classmethod
    def of(cls, classes: Sequence[UserClass], paths: Paths, zones: Zones, window: Window) -> Run:
        """Raises ValueError where a row of users belongs to two classes, or is not among the paths'."""
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
    compiled: bool = False
    counts: Counts = field(init=False)
    lost: Ints = field(init=False)
    """(C, 6): by outcome, see ``losses``."""
    user_lost: Ints = field(init=False)
    """(U,): requests that nobody served."""
    in_spells: Ints = field(init=False)
    """(2,): requests of the run's spells, and how many of them were late or lost."""
    course: list[tuple[int, Ints]] = field(init=False)
    """Servers of zones, from when on."""
    timeline: Timeline | None = field(init=False)
    step_bits: int = field(init=False)
    series_bits: int = 0
    """A batch of the series is MSER_BATCH << series_bits requests."""

    def __post_init__(self) -> None:
        count, zones, length_ns = self.run.class_count, self.run.zones.count, self.run.window.length_ns
        self.step_bits = (length_ns // BACKLOG_STEPS).bit_length()
        steps = (length_ns >> self.step_bits) + 2
        users = len(self.run.class_of)
        shapes = (
            (count, BUCKETS),
            (count, 6),
            (users, 2),
            (zones, BUCKETS),
            (zones, 8),
            (zones, steps),
            (SERIES_MAX, 2),
        )
        self.counts = Counts(*(np.zeros(shape, np.int64) for shape in shapes))
        self.counts = self.counts._replace(waits=np.zeros((zones, BUCKETS), np.int32))
        self.lost, self.user_lost = np.zeros((count, OUTCOMES), np.int64), np.zeros(users, np.int64)
        self.in_spells = np.zeros(2, np.int64)
        self.course = [(0, self.run.zones.servers)]
        self.timeline = Timeline.over(self.run.window.end_ns, self.run.bin_ns) if self.run.bin_ns else None

    def make_room(self, number: int) -> None:
        """To be called before requests up to that number are recorded: joins neighbours of the series until it has a
        batch for them, and widens counts that so many might overflow."""
        while number // MSER_BATCH >> self.series_bits >= SERIES_MAX:
            self.counts.series[: SERIES_MAX // 2] = self.counts.series[0::2] + self.counts.series[1::2]
            self.counts.series[SERIES_MAX // 2 :] = 0
            self.series_bits += 1
        if number > NARROW_MAX and self.counts.waits.dtype != np.int64:
            self.counts = self.counts._replace(waits=self.counts.waits.astype(np.int64))

    def lose(self, user: Rows, at_ns: Ints, outcome: int | Ints) -> None:
        """Requests that got nowhere, or tries that did not: by ``losses``, one for all or one for each."""
        inside = (at_ns >= self.run.window.begin_ns) & (at_ns < self.run.window.end_ns)
        each = np.broadcast_to(outcome, user.shape)
        np.add.at(self.lost, (self.run.class_of[user[inside]], each[inside]), 1)
        ended = each <= UNREACHABLE
        np.add.at(self.user_lost, user[inside & ended], 1)
        if self.timeline is not None:
            self.timeline.lose(at_ns[ended])
        if self.run.spells is not None:
            self.in_spells += int(self.run.spells.cover(at_ns[ended]).sum())

    def turn_away(self, zone: Rows, reach_ns: Ints) -> None:
        """Requests that came to a zone and were not taken in."""
        inside = (reach_ns >= self.run.window.begin_ns) & (reach_ns < self.run.window.end_ns)
        np.add.at(self.counts.zones[:, 2], zone[inside], 1)

    def record(self, visits: Visits) -> None:
        """Counts visits, and latencies of those that were served."""
        if not len(visits.number):
            return
        if self.timeline is not None:
            self.timeline.record(visits)
        if self.run.spells is not None:
            latency_ns = visits.latency_ns[(visits.latency_ns >= 0) & self.run.spells.cover(visits.at_ns)]
            self.in_spells += (len(latency_ns), int((latency_ns > self.run.bound_ns).sum()))
        if self.compiled:
            record(tuple(visits), *self.book())
            return
        self._record_zones(visits)
        self._record_waits(visits)
        served = visits.latency_ns >= 0
        self._record_latency(visits, served)
        sent = served & (visits.at_ns >= self.run.window.begin_ns) & (visits.at_ns < self.run.window.end_ns)
        self._record_served(visits, sent)

    def book(self) -> Any:
        """What compiled loops count into; plain tuples, for what is kept on disk of a compiled function must not name
        classes that may change."""
        window = self.run.window
        scale = Scale(window.begin_ns, window.end_ns, self.step_bits, self.series_bits, self.run.bound_ns)
        return self.run.class_of, tuple(self.counts), tuple(scale)

    def _record_latency(self, visits: Visits, served: Flags) -> None:
        batch = visits.number[served] // MSER_BATCH >> self.series_bits
        np.add.at(self.counts.series[:, 0], batch, visits.latency_ns[served])
        np.add.at(self.counts.series[:, 1], batch, 1)

    def _record_served(self, visits: Visits, sent: Flags) -> None:
        user, latency_ns = visits.user[sent], visits.latency_ns[sent]
        of = self.run.class_of[user].astype(np.int64)
        np.add.at(self.counts.latency, (of, buckets_of(latency_ns)), 1)
        high, low = latency_ns >> SQUARE_BITS, latency_ns & SQUARE_LOW
        for column, amount in ((0, latency_ns), (2, high * high), (3, high * low), (4, low * low)):
            np.add.at(self.counts.classes[:, column], of, amount)
        np.maximum.at(self.counts.classes[:, 1], of, latency_ns)
        np.add.at(self.counts.classes[:, 5], of, latency_ns > self.run.bound_ns)
        np.add.at(self.counts.users[:, 0], user, 1)
        np.add.at(self.counts.users[:, 1], user, latency_ns)

    def _record_waits(self, visits: Visits) -> None:
        window = self.run.window
        inside = (visits.reach_ns >= window.begin_ns) & (visits.reach_ns < window.end_ns)
        waited = inside & ((visits.start_ns < visits.leave_ns) | (visits.latency_ns >= 0))
        zone, wait_ns = visits.zone[waited].astype(np.int64), (visits.start_ns - visits.reach_ns)[waited]
        np.add.at(self.counts.waits, (zone, buckets_of(wait_ns)), 1)
        np.add.at(self.counts.zones[:, 0], zone, wait_ns)
        zone, stay_ns = visits.zone[inside].astype(np.int64), (visits.leave_ns - visits.reach_ns)[inside]
        np.add.at(self.counts.zones[:, 1], zone, 1)
        np.add.at(self.counts.zones[:, 3], zone, stay_ns)
        np.add.at(self.counts.zones[:, 7], zone, visits.service_ns[inside])

    def _record_zones(self, visits: Visits) -> None:
        begin_ns, end_ns = self.run.window.begin_ns, self.run.window.end_ns
        leave = np.minimum(visits.leave_ns, end_ns)
        area = np.maximum(leave - np.maximum(visits.reach_ns, begin_ns), 0)
        busy = np.maximum(leave - np.maximum(visits.start_ns, begin_ns), 0)
        np.add.at(self.counts.zones[:, 5], visits.zone, area)
        np.add.at(self.counts.zones[:, 6], visits.zone, busy)
        np.maximum.at(self.counts.zones[:, 4], visits.zone, visits.leave_ns - visits.reach_ns)
        for moment_ns, sign in ((visits.reach_ns, 1), (visits.leave_ns, -1)):
            step = self._step(moment_ns)
            np.add.at(self.counts.flow, (visits.zone, step), sign)

    def _step(self, moment_ns: Ints) -> NDArray[np.int64]:
        """Which step's beginning is the first that is not before the moment; the last stands for the window's end."""
        since_ns = np.maximum(moment_ns - self.run.window.begin_ns, 0)
        steps = (since_ns + (1 << self.step_bits) - 1) >> self.step_bits
        late = moment_ns > self.run.window.end_ns
        return np.asarray(
            np.where(late, self.counts.flow.shape[1] - 1, np.minimum(steps, self.counts.flow.shape[1] - 2))
        )

    def measured(self) -> Measured:
        """The result. Raises ImpossibleResult where it cannot be true."""
        window, zone, batches = self.run.window, self.counts.zones, self.counts.series[:, 1].nonzero()[0]
        until = int(batches[-1]) + 1 if len(batches) else 0
        halves = self.counts.classes[:, 2:5].astype(np.float64) @ np.array(
            [2.0 ** (2 * SQUARE_BITS), 2.0 ** (SQUARE_BITS + 1), 1.0]
        )
        result = Measured(
            window=window,
            servers=peak_servers(self.course),
            latency_counts=self.counts.latency,
            latency_sum_ns=self.counts.classes[:, 0],
            latency_max_ns=self.counts.classes[:, 1],
            late=self.counts.classes[:, 5],
            latency_squares=halves,
            user_served=self.counts.users[:, 0],
            user_sum_ns=self.counts.users[:, 1],
            failed=self.lost[:, GAVE_UP],
            unlawful=self.lost[:, UNLAWFUL],
            unreachable=self.lost[:, UNREACHABLE],
            cut=self.lost[:, CUT],
            struck=self.lost[:, STRUCK],
            retried=self.lost[:, RETRIED],
            user_lost=self.user_lost,
            timeline=self.timeline,
            in_spells=self.in_spells,
            wait_counts=self.counts.waits.astype(np.int64),
            wait_sum_ns=zone[:, 0],
            joined=zone[:, 1],
            turned_away=zone[:, 2],
            sojourn_sum_ns=zone[:, 3],
            sojourn_max_ns=zone[:, 4],
            area_ns=zone[:, 5],
            busy_ns=zone[:, 6],
            offered_ns=zone[:, 7],
            up_ns=up_ns(self.course, self.outages, window),
            backlog=np.cumsum(self.counts.flow, axis=1)[:, :-1],
            backlog_step_ns=1 << self.step_bits,
            series_sum_ns=self.counts.series[:until, 0],
            series_served=self.counts.series[:until, 1],
            series_size=MSER_BATCH << self.series_bits,
        )
        result.check()
        return result
