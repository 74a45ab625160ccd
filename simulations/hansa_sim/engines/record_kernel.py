"""Counting visits, in the form that numba compiles: what ``Recorder`` does with numpy, visit by visit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.histogram import BUCKETS, FALLING, FIRST
from hansa_sim.engines.model import Indices, Ints

MSER_BATCH = 5
"""The series begins with batches of five, as MSER-5 wants them."""

SQUARE_BITS = 21
"""Squares are summed of halves of that many bits, so that no sum overflows."""

SQUARE_LOW = (1 << SQUARE_BITS) - 1


class Visits(NamedTuple):
    """N visits of requests in zones, one for each time that a zone took one in.

    The request's number, row of users, zone; when it was sent, reached the zone, would be (or was) served, and left;
    how long until its user had the answer, -1 where the zone went down under it; the service that it asked for. Times
    in ns."""

    number: Ints
    user: Indices | Ints
    zone: Indices | Ints
    at_ns: Ints
    reach_ns: Ints
    start_ns: Ints
    leave_ns: Ints
    latency_ns: Ints
    service_ns: Ints


class Counts(NamedTuple):
    """The arrays that are counted into; see ``Measured`` for what becomes of them.

    ``classes`` (C, 5): latency sum, max, three sums of halves' products; ``users`` (U, 2): served, latency sum;
    ``zones`` (Z, 8): wait sum, joined, turned away, sojourn sum, sojourn max, area, busy, offered; ``flow`` (Z, K):
    joined less left by step; ``series`` (S, 2): latency sum, served.
    """

    latency: Ints
    classes: Ints
    users: Ints
    waits: Ints
    zones: Ints
    flow: Ints
    series: Ints


class Scale(NamedTuple):
    """The window, and bits by which steps of time and batches of the series are counted."""

    begin_ns: int
    end_ns: int
    step_bits: int
    series_bits: int


@jitted
def bucket_of(time_ns: int) -> int:
    """The bucket of a time, as ``histogram.buckets_of`` says."""
    found: Any = (np.float64(time_ns).view(np.int64) >> FALLING) - FIRST
    bucket: int = min(max(found, 0), BUCKETS - 1)
    return bucket


@jitted
def step_of(moment_ns: int, scale: Scale, steps: int) -> int:
    """Which step's beginning is the first not before the moment; the last but one stands for the window's end."""
    if moment_ns > scale.end_ns:
        return steps - 1
    since_ns = max(moment_ns - scale.begin_ns, 0)
    return min((since_ns + (1 << scale.step_bits) - 1) >> scale.step_bits, steps - 2)


@jitted
def record(visits: Visits, class_of: Indices, counts: Counts, scale: Scale) -> None:
    """Counts all visits."""
    steps = counts.flow.shape[1]
    for at in range(len(visits.number)):
        zone, reach, start, leave = visits.zone[at], visits.reach_ns[at], visits.start_ns[at], visits.leave_ns[at]
        latency, sent = visits.latency_ns[at], visits.at_ns[at]
        mine = counts.zones[zone]
        if scale.begin_ns <= reach < scale.end_ns:
            mine[1] += 1
            mine[3] += leave - reach
            mine[7] += visits.service_ns[at]
            if start < leave or latency >= 0:
                mine[0] += start - reach
                counts.waits[zone, bucket_of(start - reach)] += 1
        mine[4] = max(mine[4], leave - reach)
        until = min(leave, scale.end_ns)
        mine[5] += max(until - max(reach, scale.begin_ns), 0)
        mine[6] += max(until - max(start, scale.begin_ns), 0)
        counts.flow[zone, step_of(reach, scale, steps)] += 1
        counts.flow[zone, step_of(leave, scale, steps)] -= 1
        if latency >= 0:
            batch = visits.number[at] // MSER_BATCH >> scale.series_bits
            counts.series[batch, 0] += latency
            counts.series[batch, 1] += 1
            if scale.begin_ns <= sent < scale.end_ns:
                user = visits.user[at]
                count_latency(latency, class_of[user], counts)
                counts.users[user, 0] += 1
                counts.users[user, 1] += latency


@jitted
def count_latency(latency: int, of: int, counts: Counts) -> None:
    """Counts one latency for its class."""
    counts.latency[of, bucket_of(latency)] += 1
    mine = counts.classes[of]
    high, low = latency >> SQUARE_BITS, latency & SQUARE_LOW
    mine[0] += latency
    mine[1] = max(mine[1], latency)
    mine[2] += high * high
    mine[3] += high * low
    mine[4] += low * low
